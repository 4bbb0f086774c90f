// A config.json on its way to husk-init on the host.
#pragma once

#include <string>

#include "spec/config.h"

namespace husk::host {

// Throws kInvalid for what would change the host instead of the container: sysctls of a namespace that the
// container has not got for itself. (A VM has a kernel of its own, so spec/ lets them pass.)
void check_for_host(const spec::Config& config);

// The config as husk-init wants it: absolute sources of bind mounts, only the hooks that run inside.
spec::Config make_init_config(const spec::Config& config, const std::string& bundle);

}  // namespace husk::host
