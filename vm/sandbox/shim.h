// husk-shim, as husk starts it: the process on the host that stands for one in the guest.
#pragma once

#include <string>
#include <utility>

#include "libcontainer/base/process.h"
#include "libcontainer/container/backend.h"
#include "libcontainer/linux/cgroups.h"

namespace husk::vm {

// peer: the other end of its socket, which husk-sandbox gets. netns: -1 makes a new one for it. place:
// kShimRootFd or kShimMountsFd, as for SpawnOptions::fds. Throws.
Child spawn_shim(const std::string& id, const HostStdio& stdio, const Cgroup& cgroup, int netns,
                 std::pair<int, int> place, UniqueFd& peer);
// Until its session, terminal and root are as they shall be (deadline::kShimReady). Throws what went wrong
// there.
void wait_for_shim(int socket);

}  // namespace husk::vm
