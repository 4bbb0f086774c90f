#include "agent/guest/guest_config.h"

#include <algorithm>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/linux/cgroups.h"

namespace husk::guest {
namespace {

constexpr std::string_view kContainerPrefix = "husk:";

const char* proc_name(spec::NamespaceType type) {
  switch (type) {
    case spec::NamespaceType::kPid:
      return "pid";
    case spec::NamespaceType::kNetwork:
      return "net";
    case spec::NamespaceType::kMount:
      return "mnt";
    case spec::NamespaceType::kIpc:
      return "ipc";
    case spec::NamespaceType::kUts:
      return "uts";
    case spec::NamespaceType::kUser:
      return "user";
    case spec::NamespaceType::kCgroup:
      return "cgroup";
    case spec::NamespaceType::kTime:
      return "time";
  }
  return "";
}

}  // namespace

void localize_config(spec::Config& config, const FindInit& find_init) {
  if (!config.process) throw Error(ErrorKind::kInvalid, "config: process is missing");
  if (!config.root || config.root->path.empty() || config.root->path[0] != '/')
    throw Error(ErrorKind::kInvalid, "config: root.path is not an absolute path of the guest");
  spec::Hooks hooks;
  hooks.start_container = std::move(config.hooks.start_container);
  config.hooks = std::move(hooks);
  if (!config.linux_) return;
  std::vector<spec::Namespace>& namespaces = config.linux_->namespaces;
  std::erase_if(namespaces,
                [](const spec::Namespace& ns) { return ns.type == spec::NamespaceType::kNetwork; });
  for (spec::Namespace& ns : namespaces)
    if (ns.path.starts_with(kContainerPrefix)) {
      pid_t pid = find_init(ns.path.substr(kContainerPrefix.size()));
      ns.path = "/proc/" + std::to_string(pid) + "/ns/" + proc_name(ns.type);
    }
}

std::string guest_cgroup_path(const spec::Config& config, const std::string& id) {
  std::string asked = config.linux_ ? config.linux_->cgroups_path : "";
  // "slice:prefix:name" is the systemd driver's form.
  bool systemd = !asked.empty() && asked[0] != '/' && std::count(asked.begin(), asked.end(), ':') == 2;
  std::string path = clean_path("/" + cgroup_path(asked, id, systemd));
  return path == "/" ? cgroup_path("", id, false) : path;
}

}  // namespace husk::guest
