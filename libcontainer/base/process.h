// Child processes: started with exactly the fds they need, watched through pidfds.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "libcontainer/base/fd.h"

namespace husk {

struct SpawnOptions {
  std::vector<std::string> argv;  // argv[0] is the path of the program; PATH is not searched
  std::vector<std::string> env;   // the child's whole environment
  // {fd here, number in the child}. 0, 1 and 2 not named here are /dev/null; no other fd reaches the child.
  std::vector<std::pair<int, int>> fds;
  std::string cwd;               // empty: inherited
  bool die_with_parent = false;  // PR_SET_PDEATHSIG SIGKILL: when the spawning *thread* ends
  bool new_session = false;      // setsid
  // With before_exec: the cgroup v2 folder to be born in (clone3(2), CLONE_INTO_CGROUP). Where that is
  // refused the child is where its parent is.
  int cgroup = -1;
  // Runs in the child before exec. Only for single-threaded callers (husk, husk-init): it may call anything
  // there. An Error it throws is thrown by spawn(). Leave empty in a process with threads.
  std::function<void()> before_exec;
};

struct Child {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// fork + exec (vfork-like and async-signal-safe where there is no before_exec). Signal mask and dispositions
// of the child are the defaults. Throws when the program cannot be executed ("exec PATH: errno").
Child spawn(const SpawnOptions& options);

// For a process that keeps many: as many open fds as it may have (RLIMIT_NOFILE's hard limit). What it spawns
// gets the limit that it had itself. Before it has threads.
void raise_fd_limit();

// How a process ended.
struct ExitStatus {
  int code = 0;    // exit code, when signal is 0
  int signal = 0;  // the signal that killed it
  // The shell's way: code, or 128 + signal.
  int shell_code() const { return signal ? 128 + signal : code; }
};

// Reaps a child. Without an end before the deadline: kTimeout. timeout < 0: none.
ExitStatus wait_child(const Child& child, std::chrono::milliseconds timeout);
// SIGKILL, then reap; never throws.
void kill_and_reap(Child& child) noexcept;

// Processes that are not our children.
UniqueFd open_pidfd(pid_t pid);                                 // throws kNotFound when there is none
bool wait_pidfd(int pidfd, std::chrono::milliseconds timeout);  // true when it has ended
// Field 22 of /proc/PID/stat (clock ticks since boot): with the pid it names a process for ever. 0 if there
// is none, or if it is a zombie.
unsigned long long process_start_time(pid_t pid);

// Blocks `signals` for this thread and returns a signalfd for them (SFD_CLOEXEC | SFD_NONBLOCK).
UniqueFd make_signalfd(const std::vector<int>& signals);

}  // namespace husk
