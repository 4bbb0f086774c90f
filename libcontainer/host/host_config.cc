#include "libcontainer/host/host_config.h"

#include <sys/stat.h>

#include <algorithm>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/linux/mounts.h"
#include "libcontainer/linux/sysctl.h"

namespace husk::host {
namespace {

using spec::NamespaceType;

// sysctl/kernel.rst and ipc_namespaces(7), "/proc interfaces".
constexpr std::string_view kIpcSysctls[] = {"kernel/msgmax", "kernel/msgmnb",         "kernel/msgmni",
                                            "kernel/sem",    "kernel/shmall",         "kernel/shmmax",
                                            "kernel/shmmni", "kernel/shm_rmid_forced"};

const char* proc_name(NamespaceType type) {
  return type == NamespaceType::kNetwork ? "net" : type == NamespaceType::kIpc ? "ipc" : "uts";
}

// A namespace by path may well be ours, that is the host's.
bool has_own(const spec::Linux& linux_, NamespaceType type) {
  const spec::Namespace* ns = linux_.find_namespace(type);
  if (!ns) return false;
  if (ns->path.empty()) return true;
  struct stat theirs, ours;
  if (stat(ns->path.c_str(), &theirs) != 0) throw_errno("namespace " + ns->path);
  check(stat((std::string("/proc/self/ns/") + proc_name(type)).c_str(), &ours), "stat of our namespace");
  return theirs.st_ino != ours.st_ino || theirs.st_dev != ours.st_dev;
}

bool is_namespaced(const spec::Linux& linux_, std::string_view name) {
  if (name.starts_with("net/")) return has_own(linux_, NamespaceType::kNetwork);
  if (name.starts_with("fs/mqueue/") ||
      std::find(std::begin(kIpcSysctls), std::end(kIpcSysctls), name) != std::end(kIpcSysctls))
    return has_own(linux_, NamespaceType::kIpc);
  if (name == "kernel/domainname" || name == "kernel/hostname") return has_own(linux_, NamespaceType::kUts);
  return false;
}

bool is_relative_bind(const spec::Mount& mount) {
  return !mount.source.starts_with("/") && parse_mount_options(mount).bind;
}

}  // namespace

void check_for_host(const spec::Config& config) {
  if (!config.linux_) return;
  constexpr std::string_view kProcSys = "/proc/sys/";
  for (const auto& [name, value] : config.linux_->sysctl)
    if (!is_namespaced(*config.linux_, std::string_view(sysctl_path(name)).substr(kProcSys.size())))
      throw Error(ErrorKind::kInvalid,
                  "sysctl \"" + printable(name, 128) +
                      "\" is not in a namespace of the container's own: it would be set for the host");
}

spec::Config make_init_config(const spec::Config& config, const std::string& bundle) {
  spec::Config out = config;
  for (spec::Mount& mount : out.mounts)
    if (is_relative_bind(mount)) mount.source = path_join(bundle, mount.source);
  out.hooks = {};
  out.hooks.create_container = config.hooks.create_container;
  out.hooks.start_container = config.hooks.start_container;
  return out;
}

}  // namespace husk::host
