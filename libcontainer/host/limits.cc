#include "libcontainer/host/limits.h"

#include <spdlog/spdlog.h>

namespace husk::host {

void apply_limits(Cgroup& cgroup, const SystemdUnit& unit, const spec::Resources& wanted) {
  unit.apply(cgroup, with_default_devices(wanted));
  for (const std::string& warning : cgroup.apply(wanted)) spdlog::warn("{}", warning);
  for (const std::string& warning : cgroup.apply_container_devices(wanted.devices))
    spdlog::warn("{}", warning);
}

}  // namespace husk::host
