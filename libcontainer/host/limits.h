// The container's cgroup on the host: whose it is, and the limits in it.
#pragma once

#include "libcontainer/linux/cgroups.h"
#include "libcontainer/linux/systemd_unit.h"
#include "spec/config.h"

namespace husk::host {

// Throws kInvalid where other processes live in it (remove() would end them) or it is frozen (nothing would
// start).
void refuse_foreign_cgroup(const Cgroup& cgroup);

// Limits and device rules, through the unit and in the cgroup itself; what this kernel has no means for
// becomes a warning in the log.
void apply_limits(Cgroup& cgroup, const SystemdUnit& unit, const spec::Resources& resources);

}  // namespace husk::host
