// The pid file: the decimal pid without a newline (containerd's shim parses the raw content).
#pragma once

#include <sys/types.h>

#include <string>

namespace husk {

// Renamed into place, so that it is never seen half-written; replaces what is there (CRI-O makes an empty
// one).
void write_pid_file(const std::string& path, pid_t pid);

}  // namespace husk
