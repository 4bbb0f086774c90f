#include "spec/codec.h"

namespace husk::spec {
namespace {

Process default_process() {
  Process process;
  process.terminal = true;
  process.args = {"sh"};
  process.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"};
  process.cwd = "/";
  process.no_new_privileges = true;
  const std::vector<std::string> caps = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
  process.capabilities.emplace();
  process.capabilities->bounding = caps;
  process.capabilities->effective = caps;
  process.capabilities->permitted = caps;
  process.rlimits = {{"RLIMIT_NOFILE", 1024, 1024}};
  return process;
}

Mount mount(const char* destination, const char* type, const char* source,
            std::vector<std::string> options = {}) {
  return {destination, type, source, std::move(options), {}, {}};
}

std::vector<Mount> default_mounts(bool rootless) {
  // Without a network namespace of its own, a user namespace may not mount a new sysfs; and it has no gid 5.
  std::vector<std::string> pts = {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"};
  if (!rootless) pts.push_back("gid=5");
  return {
      mount("/proc", "proc", "proc"),
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount("/dev/pts", "devpts", "devpts", pts),
      mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}),
      mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
      rootless ? mount("/sys", "none", "/sys", {"rbind", "nosuid", "noexec", "nodev", "ro"})
               : mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}),
      mount("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"}),
  };
}

Linux default_linux(bool rootless, uint32_t uid, uint32_t gid, bool cgroup_v2) {
  Linux linux_;
  linux_.masked_paths = {"/proc/acpi",          "/proc/asound",     "/proc/kcore",       "/proc/keys",
                         "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
                         "/sys/firmware",       "/proc/scsi"};
  linux_.readonly_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  linux_.namespaces = {{NamespaceType::kPid, ""}};
  if (!rootless) linux_.namespaces.push_back({NamespaceType::kNetwork, ""});
  for (const NamespaceType type : {NamespaceType::kIpc, NamespaceType::kUts, NamespaceType::kMount})
    linux_.namespaces.push_back({type, ""});
  if (cgroup_v2) linux_.namespaces.push_back({NamespaceType::kCgroup, ""});
  if (rootless) {
    linux_.namespaces.push_back({NamespaceType::kUser, ""});
    linux_.uid_mappings = {{0, uid, 1}};
    linux_.gid_mappings = {{0, gid, 1}};
  } else {
    DeviceCgroup deny_all;
    deny_all.access = "rwm";
    linux_.resources.emplace().devices = {deny_all};
  }
  return linux_;
}

}  // namespace

Config default_config(bool rootless, uint32_t uid, uint32_t gid, bool cgroup_v2) {
  Config config;
  config.oci_version = kOciVersion;
  config.process = default_process();
  config.root = Root{"rootfs", true};
  config.hostname = "husk";
  config.mounts = default_mounts(rootless);
  config.linux_ = default_linux(rootless, uid, gid, cgroup_v2);
  return config;
}

}  // namespace husk::spec
