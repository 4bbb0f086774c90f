// The limits of the container's cgroup on the host.
#pragma once

#include "libcontainer/linux/cgroups.h"
#include "libcontainer/linux/systemd_unit.h"
#include "spec/config.h"

namespace husk::host {

// Limits and device rules, through the unit and in the cgroup itself; what this kernel has no means for
// becomes a warning in the log.
void apply_limits(Cgroup& cgroup, const SystemdUnit& unit, const spec::Resources& resources);

}  // namespace husk::host
