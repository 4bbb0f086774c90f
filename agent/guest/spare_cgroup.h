// A cgroup that was made before there is a container for it: in a template that costs nobody anything.
#pragma once

#include <mutex>
#include <optional>

#include "libcontainer/linux/cgroups.h"
#include "spec/config.h"

namespace husk::guest {

// Thread-safe.
class SpareCgroup {
 public:
  // With the default device rules. What goes wrong is logged: a container makes its own, then.
  void make() noexcept;
  // Once, and for a container that asks for these rules and does not see the cgroup's path, since it has a
  // cgroup namespace of its own.
  std::optional<Cgroup> take(const spec::Config& config);

 private:
  std::mutex mutex_;
  std::optional<Cgroup> cgroup_;
};

}  // namespace husk::guest
