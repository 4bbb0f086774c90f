// The one door behind which the machine is. libcontainer/container keeps ids, states, hooks, stdio and pid
// files; what runs a container's processes (a VM through vm/sandbox, or this very kernel through
// libcontainer/host) is on the other side. All calls come from husk, a short-lived single-threaded process,
// and throw Error.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "libcontainer/base/fd.h"
#include "spec/config.h"
#include "spec/status.h"

namespace husk {

// Which container a call is about.
struct ContainerRef {
  std::string id;
  std::string folder;  // ROOT/ID, mode 0700; the backend may keep files of its own in it, except state.json
};

// What a process's 0, 1 and 2 are on this side. With a terminal all three are the pty's slave, already in the
// size wanted; or, where the backend is on this kernel, they are unset, and on_console gets the master of the
// pty that the backend makes in the container, before the process may run.
struct HostStdio {
  int in = -1, out = -1, err = -1;
  bool terminal = false;
  std::function<void(UniqueFd master)> on_console;
};

struct ProcessRow {  // one line of `ps`
  pid_t pid = 0, ppid = 0;
  uint32_t uid = 0;
  int64_t start_seconds = 0, cpu_milliseconds = 0;
  uint64_t virtual_kib = 0, resident_kib = 0;
  std::string tty, state, command;  // state: the letter of proc(5)
};

class Backend {
 public:
  virtual ~Backend() = default;

  // Containers' namespaces are of this kernel: createContainer hooks run and terminals are made inside of
  // them, by the backend; `ps` can look at the processes itself.
  virtual bool on_this_kernel() const { return false; }

  struct CreateArgs {
    ContainerRef container;
    std::string bundle;  // absolute
    std::string rootfs;  // absolute, exists
    const spec::Config* config = nullptr;
    HostStdio stdio;
    bool no_pivot = false, no_new_keyring = false, systemd_cgroup = false;
    std::vector<int> preserve_fds;  // 3, 4, … of the container
    // Called once when the host's namespaces and cgroup exist and `pid` is in them: runs prestart and
    // createRuntime hooks (createContainer too, unless on_this_kernel). What it throws fails the create.
    std::function<void(pid_t pid)> on_runtime_created;
  };
  // Everything up to the gate of start. Returns the container's pid on this host, a child of the caller. On
  // failure nothing is left of it (the folder itself is the caller's).
  virtual pid_t create(const CreateArgs& args) = 0;
  // hooks: how long its startContainer hooks may take.
  virtual void start(const ContainerRef& container, std::chrono::seconds hooks) = 0;

  struct ExecArgs {
    ContainerRef container;
    const spec::Process* process = nullptr;
    HostStdio stdio;
    std::vector<int> preserve_fds;
    bool ignore_paused = false;
    std::vector<std::string> cgroups;  // [CONTROLLER[,CONTROLLER]...:]PATH below the container's own
  };
  // The process runs when this returns. Returns its pid on this host, a child of the caller.
  virtual pid_t exec(const ExecArgs& args) = 0;

  // kStopped when nothing of it runs any more, whatever the reason.
  virtual Status status(const ContainerRef& container) = 0;
  // Throws kWrongState ("container not running") when its init has ended, unless all.
  virtual void kill(const ContainerRef& container, int signal, bool all) = 0;
  virtual void pause(const ContainerRef& container) = 0;
  virtual void resume(const ContainerRef& container) = 0;
  virtual void update(const ContainerRef& container, const spec::Resources& resources) = 0;
  virtual nlohmann::json stats(const ContainerRef& container) = 0;
  // Processes as the container's own kernel numbers them, for the table …
  virtual std::vector<ProcessRow> processes(const ContainerRef& container) = 0;
  // … and this host's pids, for `ps --format json`.
  virtual std::vector<pid_t> host_pids(const ContainerRef& container) = 0;
  // Ends what runs (SIGKILL) and undoes everything that create did; idempotent; also after a kill -9 of any
  // of husk's processes. Everything is gone when it returns, except the folder.
  virtual void remove(const ContainerRef& container) = 0;
};

}  // namespace husk
