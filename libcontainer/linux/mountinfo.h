// What is mounted in this mount namespace.
#pragma once

#include <string>
#include <vector>

namespace husk {

// A line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
struct MountEntry {
  std::string device;       // "major:minor" of the file system
  std::string mount_point;  // absolute, as it is (the file's \ooo undone)
  std::string type;
  std::string super_options;  // comma-separated
};

// In the file's order. Throws where it cannot be read.
std::vector<MountEntry> read_mountinfo();

}  // namespace husk
