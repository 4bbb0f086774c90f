// A cgroup, and the first process in it, that were made before there is a container for them: in a template
// that costs nobody anything.
#pragma once

#include <memory>
#include <mutex>
#include <optional>

#include "libcontainer/init/init_program.h"
#include "libcontainer/linux/cgroups.h"
#include "spec/config.h"

namespace husk::guest {

// Thread-safe.
class SpareCgroup {
 public:
  // With the default device rules, and somebody born in it (libcontainer/init's prepare_birth). Nothing where
  // the kernel has no such rules. Throws.
  void make(InitProgram& init_program);

  struct Spare {
    Cgroup cgroup;
    // Of who was born in it, to be held as long as the container is there: a container's end would be told
    // after its last namespaces' ends, and of those IPC's takes a worker of the kernel that waits for RCU,
    // and one more for it.
    std::shared_ptr<void> ipc_namespace;
  };
  // Once, and for a container that asks for these rules and does not see the cgroup's path, since it has a
  // cgroup namespace of its own.
  std::optional<Spare> take(const spec::Config& config);

 private:
  std::mutex mutex_;
  std::optional<Spare> spare_;
};

}  // namespace husk::guest
