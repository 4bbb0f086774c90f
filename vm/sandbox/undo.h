// What create has to undo, on disk before it is done: ROOT/ID/undo.json. Mounts, taps and most sockets need
// no entry, since they end with husk-sandbox's processes; this is what outlives a kill -9 of all of them.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "libcontainer/base/fd.h"

namespace husk::vm {

// A process named for ever: its pid and its start time.
struct ProcessId {
  pid_t pid = 0;
  unsigned long long start_time = 0;
};

struct Undo {
  std::string cgroup;          // path as for class Cgroup; empty: it is not ours
  std::string unit;            // of systemd's, that holds the cgroup; empty: none
  std::string netns;           // path of a network namespace that is not ours and may hold our qdiscs
  std::string sandbox_folder;  // of the sandbox that it is in
  bool made_vm = false;        // its cgroup holds the VM's processes, from the beginning
  ProcessId sandbox;           // its husk-sandbox
  ProcessId shim;

  void save(const std::string& folder) const;              // atomically
  static bool load(const std::string& folder, Undo& out);  // false: nothing was begun
};

ProcessId identify(pid_t pid);
bool is_alive(const ProcessId& process);
// Its pidfd; empty when it has ended.
UniqueFd open_process(const ProcessId& process);
// SIGKILL and wait for its end (deadline::kProcessEnd). Gone already is fine; throws kTimeout.
void kill_process(const ProcessId& process);

}  // namespace husk::vm
