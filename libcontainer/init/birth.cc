#include "libcontainer/init/birth.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <exception>

#include "libcontainer/base/trace.h"
#include "libcontainer/linux/cgroups.h"

namespace husk {
namespace {

// The newborn waits to be told its pid; EOF means that stage 1 failed.
[[noreturn]] void live(InitRequest& r, UniqueFd wait, trace::Span& clone,
                       const std::function<void()>& child) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (read(wait.get(), &r.pid, sizeof r.pid) != sizeof r.pid) _exit(1);
  prctl(PR_SET_DUMPABLE, 0);
  wait.reset();
  clone.end();
  try {
    child();
  } catch (const Error& e) {
    send_error(r, e);
  } catch (const std::exception& e) {
    send_error(r, Error(ErrorKind::kInternal, e.what()));
  }
  _exit(1);
}

pid_t clone_once(int flags, int cgroup, int& pidfd) {
  clone_args args{};
  args.flags = static_cast<unsigned>(flags) | CLONE_PARENT | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<uint64_t>(&pidfd);
  if (cgroup >= 0) {
    args.flags |= CLONE_INTO_CGROUP;
    args.cgroup = static_cast<uint64_t>(cgroup);
  }
  return static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
}

}  // namespace

UniqueFd open_cgroup(const std::string& path) {
  return path.empty() ? UniqueFd() : open_file(path, O_RDONLY | O_DIRECTORY);
}

void join_host_cgroup(const InitRequest& r) {
  if (!r.host_cgroup.empty()) Cgroup(r.host_cgroup).add_self(parse_sub_cgroups(r.sub_cgroups));
}

void give_birth(InitRequest& r, int flags, UniqueFd cgroup, const std::function<void(pid_t)>& complete,
                const std::function<void()>& child) {
  trace::Span clone("clone");  // ends in the newborn
  auto [wait, go] = make_pipe();
  int pidfd = -1;
  bool moved = static_cast<bool>(cgroup);
  // Who is not dumpable has a /proc folder of root's (proc(5)), in which an ordinary user may write no map.
  const bool maps_as_user = (flags & CLONE_NEWUSER) && geteuid() != 0;
  if (maps_as_user) prctl(PR_SET_DUMPABLE, 1);
  pid_t pid = clone_once(flags, cgroup.get(), pidfd);
  if (pid < 0 && moved) {  // a kernel or a permission that only knows the old way
    moved = false;
    pid = clone_once(flags, -1, pidfd);
  }
  check(pid, "clone3");
  if (pid == 0) {
    go.reset();
    live(r, std::move(wait), clone, child);
  }
  UniqueFd owned(pidfd);
  try {
    if (cgroup && !moved)
      write_all(open_at(cgroup.get(), "cgroup.procs", O_WRONLY).get(), std::to_string(pid),
                "joining " + r.cgroup);
    complete(pid);
  } catch (...) {
    kill(pid, SIGKILL);
    send_pid(r, pid, owned.get());  // it is our parent's child: only the parent can reap it
    throw;
  }
  if (maps_as_user) prctl(PR_SET_DUMPABLE, 0);
  send_pid(r, pid, owned.get());
  const std::string_view text(reinterpret_cast<const char*>(&pid), sizeof pid);
  write_all(go.get(), text, "waking the new process");
}

}  // namespace husk
