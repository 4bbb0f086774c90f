#include "agent/guest/guest_config.h"

#include <algorithm>

#include "agent/guest/listener.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/linux/cgroups.h"
#include "libcontainer/linux/namespaces.h"

namespace husk::guest {
namespace {

constexpr std::string_view kContainer = "husk:", kNamed = "husk-ns:", kShm = "husk-shm:",
                           kSocket = "husk-socket:";
constexpr std::string_view kSize = "size=";

std::string localize_namespace(const spec::Namespace& ns, const FindInit& find_init,
                               NamedNamespaces& namespaces) {
  if (ns.path.starts_with(kContainer)) {
    pid_t pid = find_init(ns.path.substr(kContainer.size()));
    return "/proc/" + std::to_string(pid) + "/ns/" + namespace_file(ns.type);
  }
  if (ns.path.starts_with(kNamed)) return namespaces.path(ns.type, ns.path.substr(kNamed.size()));
  return ns.path;
}

std::shared_ptr<SharedMemory> localize_shm(spec::Mount& mount, SharedMemories& memories) {
  std::string size;
  std::erase_if(mount.options, [&](const std::string& option) {
    if (!option.starts_with(kSize)) return false;
    size = option.substr(kSize.size());
    return true;
  });
  std::shared_ptr<SharedMemory> memory = memories.get(mount.source.substr(kShm.size()), size);
  mount.source = memory->path();
  return memory;
}

}  // namespace

std::vector<std::shared_ptr<void>> localize_config(spec::Config& config, const FindInit& find_init,
                                                   NamedNamespaces& namespaces, SharedMemories& memories,
                                                   Volumes& volumes) {
  if (!config.process) throw Error(ErrorKind::kInvalid, "config: process is missing");
  if (!config.root || config.root->path.empty() || config.root->path[0] != '/')
    throw Error(ErrorKind::kInvalid, "config: root.path is not an absolute path of the guest");
  spec::Hooks hooks;
  hooks.start_container = std::move(config.hooks.start_container);
  config.hooks = std::move(hooks);
  std::vector<std::shared_ptr<void>> used;
  if (std::shared_ptr<Volume> root = volumes.get(config.root->path)) used.push_back(std::move(root));
  for (spec::Mount& mount : config.mounts)
    if (mount.source.starts_with(kShm))
      used.push_back(localize_shm(mount, memories));
    else if (mount.source.starts_with(kSocket))
      mount.source = socket_path(mount.source.substr(kSocket.size()));
    else if (std::shared_ptr<Volume> volume = volumes.get(mount.source))
      used.push_back(std::move(volume));
  if (!config.linux_) return used;
  std::vector<spec::Namespace>& list = config.linux_->namespaces;
  for (spec::Namespace& ns : list) ns.path = localize_namespace(ns, find_init, namespaces);
  // The guest's own network is entered already.
  std::erase_if(list, [](const spec::Namespace& ns) {
    return ns.type == spec::NamespaceType::kNetwork && ns.path.empty();
  });
  return used;
}

std::string guest_cgroup_path(const spec::Config& config, const std::string& id) {
  std::string asked = config.linux_ ? config.linux_->cgroups_path : "";
  // "slice:prefix:name" is the systemd driver's form.
  bool systemd = !asked.empty() && asked[0] != '/' && std::count(asked.begin(), asked.end(), ':') == 2;
  std::string path = clean_path("/" + cgroup_path(asked, id, systemd));
  return path == "/" ? cgroup_path("", id, false) : path;
}

}  // namespace husk::guest
