#include "libcontainer/host/limits.h"

#include <spdlog/spdlog.h>

#include <cerrno>

#include "libcontainer/base/error.h"

namespace husk::host {
namespace {

bool lacks_means(const Error& e) {
  return e.kind() == ErrorKind::kUnsupported || e.errnum() == ENOSYS || e.errnum() == EOPNOTSUPP;
}

}  // namespace

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
  spec::Resources resources = wanted;
  // The last rule that matches counts: what every container may use comes behind the config's.
  if (!resources.devices.empty())
    for (spec::DeviceCgroup& rule : default_device_rules()) resources.devices.push_back(std::move(rule));
  unit.apply(cgroup, resources);
  for (const std::string& warning : cgroup.apply(resources)) spdlog::warn("{}", warning);
  try {
    cgroup.apply_devices(resources.devices);
  } catch (const Error& e) {
    if (!lacks_means(e)) throw;
    spdlog::warn("device rules are not enforced: {}", e.what());
  }
}

}  // namespace husk::host
