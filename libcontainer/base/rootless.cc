#include "libcontainer/base/rootless.h"

#include <unistd.h>

#include <optional>
#include <string>

#include "libcontainer/base/file.h"

namespace husk {
namespace {

std::optional<bool> asked;

// The initial user namespace's map is of all ids to themselves (user_namespaces(7)).
bool in_user_namespace() {
  std::string map = read_file("/proc/self/uid_map");
  std::erase_if(map, [](char c) { return c == ' ' || c == '\n'; });  // three numbers in columns
  return map != "004294967295";
}

}  // namespace

bool is_rootless() {
  static const bool found = geteuid() != 0 || in_user_namespace();
  return asked.value_or(found);
}

void set_rootless(bool rootless) {
  asked = rootless;
}

}  // namespace husk
