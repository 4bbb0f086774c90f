// The host's config.json made the guest's: sources of bind mounts become paths below the share, what only the
// host can do is taken out.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "spec/config.h"
#include "vm/share/share.h"

namespace husk::vm {

// Shows rootfs and volumes to the guest and returns its config. `warnings` gets what a VM cannot honour.
// Throws; the caller then calls share.remove(id). container_of: the id of the sandbox's container whose
// husk-shim has this pid, or empty.
spec::Config make_guest_config(const spec::Config& host, const std::string& id, const std::string& rootfs,
                               const std::string& bundle, Share& share,
                               const std::function<std::string(pid_t)>& container_of,
                               std::vector<std::string>& warnings);

}  // namespace husk::vm
