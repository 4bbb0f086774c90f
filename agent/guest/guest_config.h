// From the host's config to what this kernel has to do.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/guest/namespaces.h"
#include "agent/guest/storage.h"
#include "spec/config.h"

namespace husk::guest {

// The pid of a container's init; throws kNotFound.
using FindInit = std::function<pid_t(const std::string& id)>;

// Namespaces: "husk:ID" is that of another container, "husk-ns:KEY" a named one. Mounts: "husk-shm:KEY" is
// shared memory, "husk-socket:NAME" a Listener's. Returns what is to be kept as long as the container: that,
// and volumes. Hooks: only startContainer runs here. Throws kInvalid where process or an absolute root is
// missing.
std::vector<std::shared_ptr<void>> localize_config(spec::Config& config, const FindInit& find_init,
                                                   NamedNamespaces& namespaces, SharedMemories& memories,
                                                   Volumes& volumes);

// Below the guest's own hierarchy: never the root, never out of it.
std::string guest_cgroup_path(const spec::Config& config, const std::string& id);

}  // namespace husk::guest
