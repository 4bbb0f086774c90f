// What husk-init and its parent say to one another over fd 3. Internal to this folder.
#pragma once

#include <string>
#include <vector>

#include "libcontainer/base/message.h"
#include "spec/config.h"

namespace husk {

inline constexpr const char* kInitVerb = "wait";  // argv[1]
inline constexpr int kControlFd = 3;
inline constexpr int kFirstPreservedFd = 4;  // as spawned; they move down by one in the container

// A request as husk-init sees it. create and exec share it: what does not apply is empty.
struct InitRequest {
  UniqueFd control;
  bool is_exec = false;
  std::string id;
  spec::Config config;  // exec: process, and of linux namespaces, seccomp, personality
  std::string rootfs, bundle, cgroup;
  std::vector<std::string> sub_cgroups;
  std::string host_cgroup;  // see CreateRequest, as hold (for its on_runtime_created) and gate
  bool no_pivot = false, no_new_keyring = false, hold = false, trace = false;
  UniqueFd gate;
  std::vector<UniqueFd> bind_sources;  // of config.mounts, where stage 1 has opened them
  int64_t started_ns = 0;              // when the gate opened, for the trace
  int preserved = 0;                   // fds 3 … 3 + preserved - 1 are the container's
  UniqueFd target;                     // exec: pidfd of the container's init
  int join_flags = 0;                  // exec: CLONE_NEW…
  std::string seccomp;                 // the compiled filter
  UniqueFd new_seccomp;  // the same, where it was compiled here: the parent wants it for the next ones
  UniqueFd listener;     // the connection to the agent that answers calls, and what it is told
  std::string listener_state;
  pid_t pid = 0;       // stage 2's, as the parent sees it
  pid_t init_pid = 0;  // exec: the container's init
  std::vector<std::string> warnings;

  const spec::Process& process() const { return *config.process; }
  // Empty where the config has no "linux".
  const spec::Linux& linux_() const;
};

// Says {"waiting"} and receives the request; takes fd 3, the preserved fds and the standard streams to their
// places. False: the parent is gone.
bool receive_request(InitRequest& request);
// {"pid"} with the final process's pidfd.
void send_pid(const InitRequest& request, pid_t pid, int pidfd);
// {"ready"}: we stand at the gate; with the console's master and the new filter, if there are such.
void send_ready(const InitRequest& request, int console);
// {"runtime_created"}, then waits for {"go_on"}; ends the process when the parent has given up.
void hold_for_hooks(const InitRequest& request);
// Waits for {"start"}, from the parent (its end ends the process) or from whoever comes to the gate.
void wait_for_start(InitRequest& request);
// An unnamed file with this in it.
UniqueFd write_memfd(const std::string& data);
// {"trace"}: the spans since {"ready"}, where the request asked for them.
void send_trace(const InitRequest& request);
void send_error(const InitRequest& request, const Error& error) noexcept;

}  // namespace husk
