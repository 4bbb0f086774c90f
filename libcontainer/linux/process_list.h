// Processes as ps(1) shows them.
#pragma once

#include <string>
#include <vector>

#include <sys/types.h>

namespace husk {

struct ProcessInfo {
  pid_t pid = 0, ppid = 0;
  uint32_t uid = 0;
  int64_t start_seconds = 0, cpu_milliseconds = 0;
  uint64_t virtual_kib = 0, resident_kib = 0;
  std::string tty = "?", state, command;  // state: the letter of proc(5)
};

// Those of pids that still are.
std::vector<ProcessInfo> describe_processes(const std::vector<pid_t>& pids);

}  // namespace husk
