#include "libcontainer/container/pid_file.h"

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"

namespace husk {

void write_pid_file(const std::string& path, pid_t pid) {
  with_context("pid file", [&] { write_file_atomic(path, std::to_string(pid), 0644); });
}

}  // namespace husk
