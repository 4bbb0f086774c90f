// What husk-init and its parent say to one another over fd 3, as bytes (spec/binary.h). Internal to this
// folder.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/linux/terminal.h"
#include "spec/config.h"
#include "spec/fields.h"

namespace husk {

inline constexpr const char* kInitVerb = "wait";  // argv[1]
inline constexpr int kControlFd = 3;
inline constexpr int kFirstPreservedFd = 4;  // as spawned; they move down by one in the container

// What of a request travels beside the config and fds. create and exec share it: what does not apply is
// empty.
struct RequestHead {
  bool is_exec = false;
  bool is_birth = false;  // only a cgroup: the request proper is the newborn's (prepare_birth)
  std::string id, rootfs, bundle, cgroup;
  std::string host_cgroup;  // see CreateRequest, as hold (for its on_runtime_created) and gate
  std::vector<std::string> sub_cgroups;
  bool no_pivot = false, no_new_keyring = false, hold = false, trace = false;
  int preserved = 0;   // fds 3 … 3 + preserved - 1 are the container's
  int join_flags = 0;  // exec: CLONE_NEW…
  pid_t init_pid = 0;  // exec: the container's init
  bool has_filter = false, has_target = false,
       has_gate = false;    // the fds that come, in this order; and then
  bool has_stream[3] = {};  // those of 0, 1 and 2
};

template <typename A, spec::Is<RequestHead> T>
void fields(A& a, T& v) {
  a("is_exec", v.is_exec);
  a("is_birth", v.is_birth);
  a("id", v.id);
  a("rootfs", v.rootfs);
  a("bundle", v.bundle);
  a("cgroup", v.cgroup);
  a("host_cgroup", v.host_cgroup);
  a("sub_cgroups", v.sub_cgroups);
  a("no_pivot", v.no_pivot);
  a("no_new_keyring", v.no_new_keyring);
  a("hold", v.hold);
  a("trace", v.trace);
  a("preserved", v.preserved);
  a("join_flags", v.join_flags);
  a("init_pid", v.init_pid);
  a("has_filter", v.has_filter);
  a("has_target", v.has_target);
  a("has_gate", v.has_gate);
  for (auto& has : v.has_stream) a("has_stream", has);
}

// A request as husk-init sees it.
struct InitRequest : RequestHead {
  UniqueFd control;
  spec::Config config;  // exec: process, and of linux seccomp and personality
  UniqueFd gate;
  std::vector<UniqueFd> bind_sources;  // of config.mounts, where stage 1 has opened them
  int64_t started_ns = 0;              // when the gate opened, for the trace
  UniqueFd target;                     // exec: pidfd of the container's init
  std::string seccomp;                 // the compiled filter
  UniqueFd new_seccomp;  // the same, where it was compiled here: the parent wants it for the next ones
  UniqueFd listener;     // the connection to the agent that answers calls, and what it is told
  std::string listener_state;
  pid_t pid = 0;      // stage 2's, as the parent sees it
  Terminal terminal;  // of a process with one; to the very end: its leader dies when the master goes
  std::vector<std::string> warnings;

  const spec::Process& process() const { return *config.process; }
  // Empty where the config has no "linux".
  const spec::Linux& linux_() const;
};

// The parent's side. What is too large for a message goes in a memfd.
void send_request(int socket, const RequestHead& head, const spec::Config& config, std::vector<int> fds);

// Says kWaiting and receives the request; takes fd 3, the preserved fds and the standard streams to their
// places. Once more by who was born for it. False: the parent is gone.
bool receive_request(InitRequest& request);

// Everything else that the two say.
struct Word {
  enum Kind : uint8_t { kWaiting, kPid, kRuntimeCreated, kGoOn, kReady, kStart, kTrace, kError };
  Word(Kind k = kError) : kind(k) {}

  uint8_t kind;
  pid_t pid = 0;                                 // kPid: the final process's; its pidfd comes with it
  bool has_console = false, has_filter = false;  // kReady: the fds that come
  std::vector<std::string> warnings;             // kReady
  std::string trace;              // kReady, kTrace: the spans since the last one, as JSON; or empty
  std::string error_kind, error;  // kError
  int error_errno = 0;

  std::vector<UniqueFd> fds;  // as received
};

template <typename A, spec::Is<Word> T>
void fields(A& a, T& v) {
  a("kind", v.kind);
  a("pid", v.pid);
  a("has_console", v.has_console);
  a("has_filter", v.has_filter);
  a("warnings", v.warnings);
  a("trace", v.trace);
  a("error_kind", v.error_kind);
  a("error", v.error);
  a("error_errno", v.error_errno);
}

void send_word(int socket, const Word& word, const std::vector<int>& fds = {});
// As receive_message().
bool receive_word(int socket, Word& out, std::chrono::milliseconds timeout);
// For who did not expect it: throws the error that it tells, or that it is unknown.
[[noreturn]] void throw_word(const Word& word);

// husk-init's side: kPid.
void send_pid(const InitRequest& request, pid_t pid, int pidfd);
// kReady: we stand at the gate; with the console's master and the new filter, if there are such.
void send_ready(const InitRequest& request, int console);
// kRuntimeCreated, then waits for kGoOn; ends the process when the parent has given up.
void hold_for_hooks(const InitRequest& request);
// Waits for kStart, from the parent (its end ends the process) or from whoever comes to the gate.
void wait_for_start(InitRequest& request);
// kTrace, where the request asked for it.
void send_trace(const InitRequest& request);
void send_error(const InitRequest& request, const Error& error) noexcept;

}  // namespace husk
