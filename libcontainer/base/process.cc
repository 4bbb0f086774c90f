#include "libcontainer/base/process.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"

namespace husk {
namespace {

std::optional<rlimit> inherited_fd_limit;  // where it is not ours any more

// What the child tells the parent when it cannot exec.
struct Failure {
  bool complete;  // the text is a whole Error already
  int errnum;
  ErrorKind kind;
  char text[240];
};

[[noreturn]] void fail(int pipe, const char* what, int errnum, const Error* whole = nullptr) {
  Failure f{whole != nullptr, errnum, whole ? whole->kind() : ErrorKind::kInternal, {}};
  strncpy(f.text, what, sizeof f.text - 1);
  (void)!write(pipe, &f, sizeof f);
  _exit(127);
}

std::vector<char*> c_strings(const std::vector<std::string>& in) {
  std::vector<char*> out;
  out.reserve(in.size() + 1);
  for (const std::string& s : in) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

// Puts the fds where the child wants them. `moved` holds room for one number per entry of fds (allocated
// before the fork). Returns the pipe's new number, or -1 with errno.
int place_fds(const std::vector<std::pair<int, int>>& fds, std::vector<int>& moved, int pipe) {
  int top = 2;
  for (const auto& fd : fds) top = std::max(top, fd.second);
  // Out of the way of the targets first, so that no target overwrites a source.
  for (size_t i = 0; i < fds.size(); ++i)
    if ((moved[i] = fcntl(fds[i].first, F_DUPFD_CLOEXEC, top + 1)) < 0) return -1;
  if ((pipe = fcntl(pipe, F_DUPFD_CLOEXEC, top + 1)) < 0) return -1;
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return -1;
  for (int i = 0; i <= 2; ++i)
    if (dup2(null, i) < 0) return -1;
  for (size_t i = 0; i < fds.size(); ++i)
    if (dup2(moved[i], fds[i].second) < 0) return -1;
  // Everything above the targets closes on exec; between 3 and the highest target only the targets stay.
  syscall(SYS_close_range, top + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  for (int i = 3; i <= top; ++i)
    if (std::none_of(fds.begin(), fds.end(), [i](const auto& fd) { return fd.second == i; })) close(i);
  return pipe;
}

void reset_signals() {
  struct sigaction dfl {};
  dfl.sa_handler = SIG_DFL;
  for (int s = 1; s < NSIG; ++s) sigaction(s, &dfl, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Everything that the child needs, made before it is: it may allocate nothing.
struct ChildPlan {
  const SpawnOptions& options;
  std::vector<char*> argv = c_strings(options.argv), env = c_strings(options.env);
  std::vector<int> moved = std::vector<int>(options.fds.size());
  pid_t parent = getpid();
};

// Without before_exec this runs in the parent's memory.
[[noreturn]] void live(ChildPlan& plan, int report) {
  const SpawnOptions& o = plan.options;
  reset_signals();
  if (o.die_with_parent) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != plan.parent) _exit(127);
  }
  if (o.new_session) setsid();
  if (!o.cwd.empty() && chdir(o.cwd.c_str()) != 0) fail(report, o.cwd.c_str(), errno);
  if (o.before_exec) {
    try {
      o.before_exec();
    } catch (const Error& e) {
      fail(report, e.what(), e.errnum(), &e);
    }
  }
  int placed = place_fds(o.fds, plan.moved, report);
  if (placed < 0) fail(report, "placing the child's fds", errno);
  // Only now: the numbers of those that were moved may be above it.
  if (inherited_fd_limit) setrlimit(RLIMIT_NOFILE, &*inherited_fd_limit);
  execve(plan.argv[0], plan.argv.data(), plan.env.data());
  fail(placed, plan.argv[0], errno);
}

// Not glibc's fork, which has no such flag: a process of one thread has nothing that its handlers would put
// right.
pid_t fork_into(int cgroup) {
  if (cgroup < 0) return fork();
  clone_args args{};
  args.flags = CLONE_INTO_CGROUP;
  args.exit_signal = SIGCHLD;
  args.cgroup = static_cast<uint64_t>(cgroup);
  const auto pid = static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof args));
  return pid >= 0 ? pid : fork();
}

// fork copies the page tables of a process that may be large; a child that only execs borrows the memory.
// The calling thread stands still meanwhile, and signals wait: no handler may run in borrowed memory.
pid_t start(ChildPlan& plan, int report) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pid_t pid = plan.options.before_exec ? fork_into(plan.options.cgroup) : vfork();
  if (pid == 0) live(plan, report);
  int err = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = err;
  return pid;
}

}  // namespace

Child spawn(const SpawnOptions& o) {
  auto [err_read, err_write] = make_pipe();
  ChildPlan plan{o};
  pid_t pid = check(start(plan, err_write.get()), "fork");
  Child child;
  child.pid = pid;
  err_write.reset();
  child.pidfd = UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  Failure f;
  ssize_t n;
  do n = read(err_read.get(), &f, sizeof f);
  while (n < 0 && errno == EINTR);
  if (n != static_cast<ssize_t>(sizeof f)) {
    if (!child.pidfd) {
      int err = errno;
      kill_and_reap(child);
      throw_errno("pidfd_open", err);
    }
    return child;
  }
  kill_and_reap(child);
  if (f.complete) throw Error(f.kind, f.text, f.errnum);
  throw_errno(std::string("exec ") + f.text, f.errnum);
}

void raise_fd_limit() {
  rlimit limit{};
  check(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
  const rlimit raised{limit.rlim_max, limit.rlim_max};
  check(setrlimit(RLIMIT_NOFILE, &raised), "setrlimit");
  inherited_fd_limit = limit;
}

ExitStatus wait_child(const Child& child, std::chrono::milliseconds timeout) {
  if (!wait_pidfd(child.pidfd.get(), timeout))
    throw Error(ErrorKind::kTimeout, "process " + std::to_string(child.pid) + " did not end in time");
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(child.pid), &info, WEXITED) != 0)
    if (errno != EINTR) throw_errno("waitid " + std::to_string(child.pid));
  if (info.si_code == CLD_EXITED) return {info.si_status, 0};
  return {0, info.si_status};
}

void kill_and_reap(Child& child) noexcept {
  if (child.pid <= 0) return;
  kill(child.pid, SIGKILL);
  while (waitpid(child.pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  child.pid = -1;
  child.pidfd.reset();
}

UniqueFd open_pidfd(pid_t pid) {
  return UniqueFd(
      static_cast<int>(check(syscall(SYS_pidfd_open, pid, 0), "pidfd_open " + std::to_string(pid))));
}

bool wait_pidfd(int pidfd, std::chrono::milliseconds timeout) {
  return wait_readable(pidfd, timeout.count() < 0 ? -1 : static_cast<int>(timeout.count()));
}

unsigned long long process_start_time(pid_t pid) {
  std::string stat;
  try {
    stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  } catch (const Error&) {
    return 0;
  }
  // The name in parentheses may hold anything: count fields from its end.
  size_t close_paren = stat.rfind(')');
  if (close_paren == std::string::npos || close_paren + 2 >= stat.size()) return 0;
  char state = stat[close_paren + 2];
  if (state == 'Z' || state == 'X') return 0;
  size_t pos = close_paren + 2;
  for (int field = 3; field < 22; ++field) {
    pos = stat.find(' ', pos);
    if (pos == std::string::npos) return 0;
    ++pos;
  }
  return std::stoull(stat.substr(pos));
}

UniqueFd make_signalfd(const std::vector<int>& signals) {
  sigset_t set;
  sigemptyset(&set);
  for (int s : signals) sigaddset(&set, s);
  if (int err = pthread_sigmask(SIG_BLOCK, &set, nullptr)) throw_errno("pthread_sigmask", err);
  return UniqueFd(check(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd"));
}

}  // namespace husk
