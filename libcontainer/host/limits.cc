#include "libcontainer/host/limits.h"

#include <spdlog/spdlog.h>

#include "libcontainer/base/error.h"

namespace husk::host {

void refuse_foreign_cgroup(const Cgroup& cgroup) {
  if (cgroup.path() == "/")
    throw Error(ErrorKind::kInvalid, "linux.cgroupsPath: the root cgroup cannot be a container's");
  if (const size_t count = cgroup.pids().size())
    throw Error(ErrorKind::kInvalid, "container's cgroup " + printable(cgroup.path()) +
                                         " is not empty: " + std::to_string(count) + " process(es) found");
  if (cgroup.frozen())
    throw Error(ErrorKind::kInvalid, "container's cgroup unexpectedly frozen: " + printable(cgroup.path()));
}

void apply_limits(Cgroup& cgroup, const SystemdUnit& unit, const spec::Resources& wanted) {
  unit.apply(cgroup, with_default_devices(wanted));
  for (const std::string& warning : cgroup.apply(wanted)) spdlog::warn("{}", warning);
  for (const std::string& warning : cgroup.apply_container_devices(wanted.devices))
    spdlog::warn("{}", warning);
}

}  // namespace husk::host
