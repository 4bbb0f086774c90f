#include "vm/sandbox/placement.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "vm/sandbox/undo.h"

namespace husk::vm {
namespace {

constexpr const char* kOwnNetwork = "/proc/self/ns/net";

bool same_namespace(const std::string& path, const std::string& other) {
  struct stat a, b;
  return stat(path.c_str(), &a) == 0 && stat(other.c_str(), &b) == 0 && a.st_dev == b.st_dev &&
         a.st_ino == b.st_ino;
}

void refuse(const char* name, const char* why) {
  throw Error(ErrorKind::kUnsupported, std::string("the host's ") + name +
                                           " namespace cannot be shared with a container in a VM (" + why +
                                           ")");
}

int64_t number(const std::string& text) {
  int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Limits of a whole pod, as containerd and CRI-O annotate them; what they don't say is absent.
spec::Resources pod_resources(const spec::Config& config) {
  int64_t memory = 0, quota = 0, period = 0;
  auto take = [&](const char* key, int64_t& value) {
    auto found = config.annotations.find(key);
    if (found != config.annotations.end()) value = number(found->second);
  };
  take("io.kubernetes.cri.sandbox-memory", memory);
  take("io.kubernetes.cri.sandbox-cpu-quota", quota);
  take("io.kubernetes.cri.sandbox-cpu-period", period);
  auto crio = config.annotations.find("io.kubernetes.cri-o.PodLinuxResources");
  if (crio != config.annotations.end()) {
    auto json = nlohmann::json::parse(crio->second, nullptr, false);
    auto member = [&](const char* name, int64_t otherwise) {
      return json.is_object() && json.contains(name) && json[name].is_number_integer()
                 ? json[name].get<int64_t>()
                 : otherwise;
    };
    memory = member("memory_limit_in_bytes", memory);
    quota = member("cpu_quota", quota);
    period = member("cpu_period", period);
  }
  spec::Resources pod;
  if (memory > 0) pod.memory.emplace().limit = memory;
  if (quota > 0) pod.cpu.emplace().quota = quota;
  if (quota > 0 && period > 0) pod.cpu->period = static_cast<uint64_t>(period);
  return pod;
}

}  // namespace

pid_t pid_of_namespace_path(const std::string& path) {
  if (path.rfind("/proc/", 0) != 0) return 0;
  char* end = nullptr;
  long pid = strtol(path.c_str() + 6, &end, 10);
  return strncmp(end, "/ns/", 4) == 0 ? static_cast<pid_t>(pid) : 0;
}

void refuse_host_namespaces(const spec::Config& config, const spec::Options& options) {
  using spec::NamespaceType;
  if (options.host_network == "refuse" && in_host_network(config))
    refuse("network",
           "its interfaces belong to another kernel; the option host_network = \"user\" translates to the "
           "host's addresses instead");
  static constexpr struct {
    NamespaceType type;
    const char *name, *proc, *why;
  } kNeeded[] = {{NamespaceType::kPid, "pid", "pid", "its processes run on another kernel"},
                 {NamespaceType::kIpc, "ipc", "ipc", "its memory belongs to another kernel"}};
  for (const auto& needed : kNeeded) {
    const spec::Namespace* ns = config.linux_ ? config.linux_->find_namespace(needed.type) : nullptr;
    if (!ns || (!ns->path.empty() && same_namespace(ns->path, std::string("/proc/self/ns/") + needed.proc)))
      // A shim stands in the host's own pid and ipc namespaces, so its path names another container's, not
      // the host's.
      if (!ns || pid_of_namespace_path(ns->path) == 0) refuse(needed.name, needed.why);
  }
}

bool in_host_network(const spec::Config& config) {
  const spec::Namespace* ns =
      config.linux_ ? config.linux_->find_namespace(spec::NamespaceType::kNetwork) : nullptr;
  return !ns || (!ns->path.empty() && same_namespace(ns->path, kOwnNetwork));
}

PodRole pod_role(const spec::Config& config) {
  static constexpr const char* kKeys[][2] = {
      {"io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID"},
      {"io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id"}};
  for (const auto& [type, id] : kKeys) {
    auto t = config.annotations.find(type), s = config.annotations.find(id);
    if (t == config.annotations.end()) continue;
    if (t->second == "sandbox") return {"", true};
    // An engine's id; what could not be a folder's name is none.
    if (t->second == "container" && s != config.annotations.end() && !s->second.empty() &&
        s->second[0] != '.' && s->second.find('/') == std::string::npos)
      return {s->second, false};
  }
  return {};
}

Size vm_size(const spec::Config& config, const spec::Options& options) {
  const auto cpus = static_cast<uint32_t>(sysconf(_SC_NPROCESSORS_ONLN));
  const auto memory =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
  Size size = size_for(config, options, cpus, memory);
  const PodRole role = pod_role(config);
  if (role.pod.empty() && !role.is_sandbox) return size;
  spec::Config pod = config;
  pod.linux_->resources = pod_resources(config);
  const Size whole = size_for(pod, options, cpus, memory);
  return {std::max(size.vcpus, whole.vcpus), std::max(size.memory_mib, whole.memory_mib)};
}

bool find_by_shim(pid_t shim, const std::string& root, RunningContainer& out) {
  DIR* dir = shim > 0 ? opendir(root.c_str()) : nullptr;
  if (!dir) return false;
  bool found = false;
  while (dirent* entry = found ? nullptr : readdir(dir)) {
    Undo undo;
    if (entry->d_name[0] == '.' || !Undo::load(path_join(root, entry->d_name), undo)) continue;
    found = undo.shim.pid == shim && is_alive(undo.shim);
    if (found) out = {entry->d_name, undo.sandbox_folder};
  }
  closedir(dir);
  return found;
}

std::string named_sandbox(const spec::Config& config, const std::string& root) {
  RunningContainer first, other;
  if (config.linux_)
    for (const spec::Namespace& ns : config.linux_->namespaces)
      if (find_by_shim(pid_of_namespace_path(ns.path), root, other)) {
        if (first.id.empty()) first = other;
        if (first.sandbox_folder != other.sandbox_folder)
          throw Error(ErrorKind::kUnsupported, "the namespaces to join are of " + first.id + " and " +
                                                   other.id + ", which run in different VMs");
      }
  return first.sandbox_folder;
}

UniqueFd open_network_namespace(const spec::Config& config) {
  if (in_host_network(config)) return open_file(kOwnNetwork, O_RDONLY);
  const spec::Namespace* ns = config.linux_->find_namespace(spec::NamespaceType::kNetwork);
  return ns->path.empty() ? UniqueFd() : open_file(ns->path, O_RDONLY);
}

}  // namespace husk::vm
