#include "spec/check.h"
#include "spec/validate.h"

namespace husk::spec {
namespace {

std::string type_name(NamespaceType type) {
  return std::string(kNamespaceTypes[static_cast<size_t>(type)]);
}

void check_namespaces(const std::vector<Namespace>& namespaces) {
  unsigned seen = 0;
  for (size_t i = 0; i < namespaces.size(); ++i) {
    const std::string where = item("linux.namespaces", i);
    const unsigned bit = 1u << static_cast<unsigned>(namespaces[i].type);
    if (seen & bit) fail(where + ".type", quoted(type_name(namespaces[i].type)) + " is given twice");
    seen |= bit;
    if (!namespaces[i].path.empty()) check_absolute(where + ".path", namespaces[i].path);
  }
}

void check_user_namespace(const Linux& linux_) {
  check_mappings("linux.uidMappings", linux_.uid_mappings);
  check_mappings("linux.gidMappings", linux_.gid_mappings);
  const Namespace* user = linux_.find_namespace(NamespaceType::kUser);
  const std::pair<const char*, const std::vector<IdMapping>*> lists[] = {
      {"linux.uidMappings", &linux_.uid_mappings}, {"linux.gidMappings", &linux_.gid_mappings}};
  for (const auto& [where, list] : lists) {
    if (!user && !list->empty()) fail(where, "needs a namespace of type \"user\" in linux.namespaces");
    if (user && user->path.empty() && list->empty())
      fail(where, "missing, but a new user namespace needs it");
  }
}

void check_names(const Config& config) {
  const bool uts = config.linux_ && config.linux_->find_namespace(NamespaceType::kUts);
  const std::pair<const char*, const std::string*> names[] = {{"hostname", &config.hostname},
                                                              {"domainname", &config.domainname}};
  for (const auto& [where, name] : names) {
    if (name->empty()) continue;
    if (!uts) fail(where, "needs a namespace of type \"uts\" in linux.namespaces");
    if (name->size() > 64) fail(where, "longer than 64 bytes, got " + quoted(*name));  // uname(2)
  }
}

void check_sysctl(const std::map<std::string, std::string>& sysctl) {
  for (const auto& [name, value] : sysctl) {
    if (name.empty() || name.front() == '/' || name.front() == '.' || name.back() == '/' ||
        name.back() == '.' || name.find("..") != std::string::npos || name.find("//") != std::string::npos ||
        std::any_of(name.begin(), name.end(), [](unsigned char c) { return c <= ' ' || c == 0x7f; }))
      fail("linux.sysctl", quoted(name) + " is not the name of a sysctl like \"net.ipv4.ip_forward\"");
  }
}

void check_devices(const std::vector<Device>& devices) {
  for (size_t i = 0; i < devices.size(); ++i) {
    const Device& device = devices[i];
    const std::string where = item("linux.devices", i);
    check_absolute(where + ".path", device.path);
    if (has_dot_dot(device.path))
      fail(where + ".path", "must not contain \"..\", got " + quoted(device.path));
    if (device.path.back() == '/') fail(where + ".path", "names no file, got " + quoted(device.path));
    check_known(where + ".type", kDeviceTypes, device.type, "device type");
    if (device.uid) check_id(where + ".uid", *device.uid);
    if (device.gid) check_id(where + ".gid", *device.gid);
    if (device.type == "p") continue;
    check_device_number(where + ".major", device.major, kMaxMajor);
    check_device_number(where + ".minor", device.minor, kMaxMinor);
  }
}

void check_personality(const Personality& personality) {
  check_known("linux.personality.domain", kPersonalities, personality.domain, "domain");
  if (!personality.flags.empty())
    fail("linux.personality.flags", "the spec knows no flag, got " + quoted(personality.flags[0]));
}

void check_time(const Linux& linux_) {
  if (linux_.time_offsets.empty()) return;
  const Namespace* time = linux_.find_namespace(NamespaceType::kTime);
  if (!time || !time->path.empty())
    fail("linux.timeOffsets", "needs a new namespace of type \"time\" in linux.namespaces");
  for (const auto& [clock, offset] : linux_.time_offsets) {
    check_known("linux.timeOffsets", kTimeClocks, clock, "clock");
    if (offset.nanosecs > 999'999'999)
      fail("linux.timeOffsets." + clock + ".nanosecs",
           std::to_string(offset.nanosecs) + " is above 999999999");
  }
}

}  // namespace

void validate_linux(const Config& config) {
  check_names(config);
  if (!config.linux_) return;
  const Linux& linux_ = *config.linux_;
  check_namespaces(linux_.namespaces);
  check_user_namespace(linux_);
  check_sysctl(linux_.sysctl);
  if (linux_.resources) validate_resources(*linux_.resources, "linux.resources");
  if (has_dot_dot(linux_.cgroups_path))
    fail("linux.cgroupsPath", "must not contain \"..\", got " + quoted(linux_.cgroups_path));
  check_devices(linux_.devices);
  if (linux_.seccomp) validate_seccomp(*linux_.seccomp, "linux.seccomp");
  if (!linux_.rootfs_propagation.empty())
    check_known("linux.rootfsPropagation", kPropagations, linux_.rootfs_propagation, "propagation");
  check_absolute("linux.maskedPaths", linux_.masked_paths);
  check_absolute("linux.readonlyPaths", linux_.readonly_paths);
  if (linux_.personality) check_personality(*linux_.personality);
  check_time(linux_);
}

}  // namespace husk::spec
