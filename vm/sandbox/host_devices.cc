#include "vm/sandbox/host_devices.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/linux/devices.h"

namespace husk::vm {
namespace {

using Rules = std::vector<spec::DeviceCgroup>;

bool matches(const spec::DeviceCgroup& rule, const spec::Device& device) {
  const std::string type = rule.type == "u" ? "c" : rule.type;
  const bool any_type = type.empty() || type == "a";
  const auto fits = [](const std::optional<int64_t>& wanted, int64_t number) {
    return !wanted || *wanted == -1 || *wanted == number;
  };
  return (any_type || type == (device.type == "u" ? "c" : device.type)) && fits(rule.major, device.major) &&
         fits(rule.minor, device.minor);
}

bool allows_everything(const Rules& rules) {
  return std::ranges::any_of(rules, [](const spec::DeviceCgroup& rule) {
    return rule.allow && (rule.type.empty() || rule.type == "a") && rule.major.value_or(-1) == -1 &&
           rule.minor.value_or(-1) == -1;
  });
}

// Engines list the host's devices under the host's names; one that is asked for beside them has another. What
// has gone since then was one of the list, too.
bool is_hosts_own(const spec::Device& device) {
  if (device.type == "p") return false;
  const std::string name = kernel_name(device);
  return name.empty() || device.path == path_join("/dev", name) || is_node_of(device.path, device);
}

std::string text_of(const spec::Device& device) {
  return device.type + " " + std::to_string(device.major) + ":" + std::to_string(device.minor);
}

UniqueFd open_node(const std::string& path, int flags) {
  return UniqueFd(open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK));
}

// O_EXCL claims it: nobody else mounts it or claims it as long as a VM has it (open(2), block devices).
void open_disk(const std::string& node, VmDevice& out) {
  out.disk = open_node(node, out.readonly ? O_RDONLY : O_RDWR | O_EXCL);
  if (!out.disk && errno == EBUSY && !out.readonly) {
    out.in_use = true;
    out.disk = open_node(node, O_RDWR);
  }
  if (!out.disk && !(out.in_use && errno == EBUSY)) throw_errno("open " + node);
}

void check_number(int fd, const spec::Device& device) {
  struct stat st {};
  check(fstat(fd, &st), "stat");
  if (!S_ISBLK(st.st_mode) || major(st.st_rdev) != static_cast<unsigned>(device.major) ||
      minor(st.st_rdev) != static_cast<unsigned>(device.minor))
    throw Error(ErrorKind::kInternal, "another device has taken its place");
}

void find_disk(const spec::Device& device, VmDevice& out) {
  const std::string name = kernel_name(device);
  for (const std::string& node : {device.path, path_join("/dev", name)}) {
    if (!is_node_of(node, device)) continue;
    open_disk(node, out);
    if (out.disk) check_number(out.disk.get(), device);
    out.key = std::to_string(device.major) + ":" + std::to_string(device.minor);
    return;
  }
  throw Error(ErrorKind::kNotFound, "the host has no such device (" + text_of(device) + ")");
}

// What sysfs has below this is no hardware.
bool is_virtual(const spec::Device& device) {
  std::error_code error;
  const std::string path = std::filesystem::canonical(sysfs_path(device), error);
  return path.starts_with("/sys/devices/virtual/");
}

std::string find_name(const spec::Device& device) {
  std::string name = kernel_name(device);
  // Where the host loads the driver when the node is opened, sysfs does not know it before.
  if (name.empty() && device.path.starts_with("/dev/") && is_node_of(device.path, device))
    return device.path.substr(sizeof "/dev/" - 1);
  if (name.empty())
    throw Error(ErrorKind::kNotFound, "the host has no such device (" + text_of(device) + ")");
  if (!is_virtual(device))
    throw Error(ErrorKind::kUnsupported, "it is hardware of the host's, which a VM does not have");
  return name;
}

VmDevice translate(const spec::Device& device, const std::string& access) {
  VmDevice out;
  out.path = device.path;
  out.readonly = access.find('w') == access.npos;
  if (device.type == "b")
    find_disk(device, out);
  else
    out.name = find_name(device);
  return out;
}

}  // namespace

std::string allowed_access(const Rules& rules, const spec::Device& device) {
  std::string allowed;
  for (char access : std::string_view("rwm")) {
    bool allow = false;
    for (const spec::DeviceCgroup& rule : rules)
      if (matches(rule, device) && (rule.access.empty() || rule.access.find(access) != rule.access.npos))
        allow = rule.allow;
    if (allow) allowed += access;
  }
  return allowed;
}

VmDevices translate_devices(spec::Config& config) {
  VmDevices out;
  if (!config.linux_) return out;
  Rules none, &rules = config.linux_->resources ? config.linux_->resources->devices : none;
  std::vector<spec::Device>& devices = config.linux_->devices;
  out.all = allows_everything(rules);
  if (out.all) std::erase_if(devices, is_hosts_own);
  Rules exact;  // rules for a whole major would not match a disk's number in the guest
  for (const spec::Device& device : devices) {
    if (device.type == "p") continue;
    const std::string access = allowed_access(rules, device);
    const auto same_disk = std::ranges::find_if(out.list, [&](const VmDevice& other) {
      return device.type == "b" && other.key == text_of(device).substr(sizeof "b " - 1);
    });
    if (same_disk != out.list.end()) {
      out.list.push_back({device.path, "", {}, same_disk->key, same_disk->readonly, same_disk->in_use});
    } else {
      with_context("--device " + printable(device.path),
                   [&] { out.list.push_back(translate(device, access)); });
    }
    if (!access.empty()) exact.push_back({true, device.type, device.major, device.minor, access});
  }
  rules.insert(rules.end(), exact.begin(), exact.end());
  return out;
}

}  // namespace husk::vm
