#include "libcontainer/base/rootless.h"

#include <unistd.h>

#include <optional>
#include <sstream>

#include "libcontainer/base/file.h"

namespace husk {
namespace {

std::optional<bool> asked;

// The initial user namespace's map is of all ids to themselves (user_namespaces(7)).
bool in_user_namespace() {
  constexpr unsigned long kAllIds = 4294967295;
  std::istringstream map(read_file("/proc/self/uid_map"));
  unsigned long inside = 1, outside = 1, count = 0;
  map >> inside >> outside >> count;
  return inside != 0 || outside != 0 || count != kAllIds;
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
