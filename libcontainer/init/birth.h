// Stage 1's last act, the birth of the final process; and what the newborn does first. Internal to this
// folder.
#pragma once

#include <functional>

#include "libcontainer/init/control.h"

namespace husk {

// Clones the final process into new namespaces (CLONE_NEW… in `flags`) and its cgroup, as a child of *our*
// parent. In the child: waits until `complete` has run in the parent, then runs `child`, which never returns.
// In the parent: runs complete(pid), tells the control socket who was born, returns.
void give_birth(InitRequest& request, int flags, UniqueFd cgroup, const std::function<void(pid_t)>& complete,
                const std::function<void()>& child);
// Opened before namespaces change what the path means. Empty path: no fd.
UniqueFd open_cgroup(const std::string& path);
// Stage 1 moves into request.host_cgroup, and so its child is born there: v1 knows no CLONE_INTO_CGROUP.
void join_host_cgroup(const InitRequest& request);

// Whether this container's first process may be one that was born before it was asked for: in a cgroup, and
// in namespaces that most containers have anew, but in our mount namespace, whose mounts still come and go.
bool fits_newborn(const spec::Config& config);

// The two stages of each; the first returns an exit code, the second never returns.
int create_stage1(InitRequest& request);
int birth_stage1(InitRequest& request);
int exec_stage1(InitRequest& request);

}  // namespace husk
