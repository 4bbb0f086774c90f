#include "agent/guest/spare_cgroup.h"

#include <algorithm>
#include <utility>

#include "agent/guest/log.h"

namespace husk::guest {
namespace {

constexpr const char* kPath = "/@spare";  // no container's id has an @

bool has_own_view(const spec::Linux& config) {
  return std::ranges::any_of(config.namespaces, [](const spec::Namespace& ns) {
    return ns.type == spec::NamespaceType::kCgroup && ns.path.empty();
  });
}

}  // namespace

void SpareCgroup::make() noexcept {
  try {
    Cgroup cgroup(kPath);
    cgroup.create();
    // Where the kernel has no means for rules each container is to say so.
    if (!cgroup.apply_container_devices({spec::DeviceCgroup{}}).empty()) return;
    std::lock_guard lock(mutex_);
    cgroup_ = std::move(cgroup);
  } catch (const std::exception& e) {
    log_warning(std::string("a cgroup for the next container: ") + e.what());
  }
}

std::optional<Cgroup> SpareCgroup::take(const spec::Config& config) {
  if (!config.linux_ || !config.linux_->resources || !has_own_view(*config.linux_)) return {};
  if (!allows_only_defaults(config.linux_->resources->devices)) return {};
  std::lock_guard lock(mutex_);
  return std::exchange(cgroup_, {});
}

}  // namespace husk::guest
