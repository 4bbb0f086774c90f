// The parent's view of husk-init: a container's first process, or one that joins it, held at a gate until
// start(). Used by the agent in the guest and by the backend without a VM on the host; safe to use in a
// process with threads.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "libcontainer/base/fd.h"
#include "libcontainer/base/process.h"
#include "libcontainer/init/init_program.h"
#include "spec/config.h"

namespace husk {

// Where the process's 0, 1 and 2 are; unset ones are /dev/null. With a terminal all three are ignored.
struct StdioFds {
  int in = -1, out = -1, err = -1;
};

struct CreateRequest {
  std::string id;
  std::string rootfs;     // absolute
  std::string bundle;     // for the state that startContainer hooks get
  std::string cgroup;     // absolute path of the cgroup v2 folder to be born in; empty: stay
  bool no_pivot = false;  // MS_MOVE and chroot instead of pivot_root
  bool no_new_keyring = false;
  std::vector<int> preserve_fds;  // become 3, 4, … in the container

  // For a container on the host, whose creator ends before its start (all empty or unset in the guest):
  // A path for Cgroup: the process is born in it, in every hierarchy that there is, v1's too.
  std::string host_cgroup;
  // A listening SOCK_SEQPACKET socket: the gate, instead of start(). See open_gate().
  int gate = -1;
  // Called when namespaces and mounts are there, before the root changes; what it throws fails the create.
  std::function<void(pid_t pid)> on_runtime_created;
};

struct ExecRequest {
  pid_t target = -1;   // the container's init: its namespaces are joined
  std::string cgroup;  // as above
  std::string host_cgroup;
  std::vector<std::string> sub_cgroups;  // where below host_cgroup, for parse_sub_cgroups()
  std::vector<int> preserve_fds;
  std::string id;      // the container's: its session keyring is joined; empty: none is
  std::string bundle;  // for the state that a seccomp listener gets
  bool no_new_keyring = false;
};

class InitProcess {
 public:
  // Has a husk-init do it, and waits until it stands at the gate: namespaces, mounts, … done;
  // everything but startContainer hooks and exec. Throws what went wrong there, with husk-init's own words
  // and errno; then nothing of it is left. The final process is a child of the calling process (the helper
  // stages are reaped here).
  // config is as the spec has it, but: paths of mounts' sources, of root and of namespaces are this kernel's,
  // and only the hooks that run here are in it.
  static InitProcess create(InitProgram& program, const CreateRequest& request, const spec::Config& config,
                            const StdioFds& stdio);
  // Of the container's config it needs the namespaces it has, seccomp and personality.
  static InitProcess exec(InitProgram& program, const ExecRequest& request, const spec::Process& process,
                          const spec::Config& container, const StdioFds& stdio);

  pid_t pid() const { return child_.pid; }
  int pidfd() const { return child_.pidfd.get(); }
  // With process.terminal: the master of a pty of the container's own devpts; its size is
  // process.consoleSize.
  UniqueFd take_console() { return std::move(console_); }
  // What this kernel, or what we may do, cannot honour of the config.
  std::vector<std::string> take_warnings() { return std::move(warnings_); }
  // The caller takes over reaping.
  Child take_child() { return std::move(child_); }

  // Opens the gate; returns once exec(2) has succeeded, or throws. Errors of exec carry runc's words ("exec:
  // \"foo\": executable file not found in $PATH", "… permission denied"), from which Docker makes 127 and
  // 126.
  void start();

 private:
  InitProcess(Child child, UniqueFd control, UniqueFd console, std::vector<std::string> warnings)
      : child_(std::move(child)),
        control_(std::move(control)),
        console_(std::move(console)),
        warnings_(std::move(warnings)) {}

  Child child_;
  UniqueFd control_;
  UniqueFd console_;
  std::vector<std::string> warnings_;
  std::chrono::seconds start_hooks_{0};  // how long they may take
};

// Has a husk-init give birth to the first process of a container to come, which waits for it: the next
// create() in this cgroup (a v2 folder, as CreateRequest has it) takes that process, or ends it where the
// container has other namespaces than most. As of InitProgram::prepare(), from a thread that lives on.
// Returns its pid. Throws.
pid_t prepare_birth(InitProgram& program, const std::string& cgroup);

// start() for a process that was created with CreateRequest::gate; connection is one to that socket. One that
// says nothing changes nothing, so connecting tells whether a process still stands there. hooks: how long its
// startContainer hooks may take.
void open_gate(int connection, std::chrono::seconds hooks);

// What cmd/husk-init's main calls (and the agent's, where both are one program): fd 3 is the control socket
// (SOCK_SEQPACKET), the first message on it the request. Returns the exit code of a helper stage; the
// final stage never returns.
int init_main(int argc, char** argv);

}  // namespace husk
