// From the host's config to what this kernel has to do.
#pragma once

#include <functional>
#include <string>

#include "spec/config.h"

namespace husk::guest {

// The pid of a container's init; throws kNotFound.
using FindInit = std::function<pid_t(const std::string& id)>;

// Namespaces: the network's is the guest's own for all containers; "husk:ID" is that of another container.
// Hooks: only startContainer runs here. Throws kInvalid where process or an absolute root is missing.
void localize_config(spec::Config& config, const FindInit& find_init);

// Below the guest's own hierarchy: never the root, never out of it.
std::string guest_cgroup_path(const spec::Config& config, const std::string& id);

}  // namespace husk::guest
