#include "vm/sandbox/shim.h"

#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "vm/sandbox/shim_protocol.h"

namespace husk::vm {

Child spawn_shim(const std::string& id, const HostStdio& stdio, const Cgroup& cgroup, int netns,
                 std::pair<int, int> place, UniqueFd& peer) {
  auto [ours, theirs] = socket_pair(SOCK_SEQPACKET);
  SpawnOptions o;
  o.argv = {path_join(program_dir(), "husk-shim"), id};
  o.fds = {{theirs.get(), kShimSocketFd}, place};
  if (stdio.terminal) o.fds.emplace_back(stdio.in, kShimTerminalFd);
  o.cwd = "/";
  o.new_session = true;
  const UniqueFd birthplace = cgroup.open_unified();
  o.cgroup = birthplace.get();
  o.before_exec = [&] {
    cgroup.add_self();
    if (netns >= 0)
      check(setns(netns, CLONE_NEWNET), "joining the network namespace");
    else
      check(unshare(CLONE_NEWNET), "unshare CLONE_NEWNET");
    if (stdio.terminal) check(ioctl(stdio.in, TIOCSCTTY, 0), "TIOCSCTTY");
  };
  Child child = spawn(o);
  peer = std::move(ours);
  return child;
}

void wait_for_shim(int socket) {
  ShimMessage ready{};
  if (!wait_readable(socket, static_cast<int>(std::chrono::milliseconds(deadline::kShimReady).count())))
    throw Error(ErrorKind::kTimeout, "husk-shim is not ready in time", ETIMEDOUT);
  if (recv(socket, &ready, sizeof ready, 0) != sizeof ready || ready.type != ShimMessageType::kReady)
    throw Error(ErrorKind::kInternal, "husk-shim ended before it was ready");
  if (ready.value) throw_errno("entering the container's root in husk-shim's mount namespace", ready.value);
}

}  // namespace husk::vm
