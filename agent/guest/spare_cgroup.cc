#include "agent/guest/spare_cgroup.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "libcontainer/base/fd.h"
#include "libcontainer/init/init_process.h"

namespace husk::guest {
namespace {

constexpr const char* kPath = "/@spare";  // no container's id has an @

bool has_own_view(const spec::Linux& config) {
  return std::ranges::any_of(config.namespaces, [](const spec::Namespace& ns) {
    return ns.type == spec::NamespaceType::kCgroup && ns.path.empty();
  });
}

}  // namespace

void SpareCgroup::make(InitProgram& init_program) {
  Cgroup cgroup(kPath);
  cgroup.create();
  // Where the kernel has no means for rules each container is to say so.
  if (!cgroup.apply_container_devices({spec::DeviceCgroup{}}).empty()) return;
  const pid_t pid = prepare_birth(init_program, cgroup.v2_folder());
  auto ipc_namespace =
      std::make_shared<UniqueFd>(open_file("/proc/" + std::to_string(pid) + "/ns/ipc", O_RDONLY));
  std::lock_guard lock(mutex_);
  spare_ = Spare{std::move(cgroup), std::move(ipc_namespace)};
}

std::optional<SpareCgroup::Spare> SpareCgroup::take(const spec::Config& config) {
  if (!config.linux_ || !has_own_view(*config.linux_)) return {};
  if (!allows_only_defaults(first_resources(config).devices)) return {};
  std::lock_guard lock(mutex_);
  return std::exchange(spare_, {});
}

}  // namespace husk::guest
