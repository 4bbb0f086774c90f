#include "agent/guest/devices.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "agent/guest/parking.h"
#include "agent/guest/pci.h"
#include "agent/guest/uevents.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"

namespace husk::guest {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDev = "/dev";
constexpr int kMaxDepth = 2;  // "/dev/net/tun", "/dev/cpu/0/msr"

DeviceNumber number_of(const struct stat& st) {
  return {major(st.st_rdev), minor(st.st_rdev)};
}

DeviceNumber find_named(const std::string& name) {
  const std::string path = path_join(kDev, name);
  struct stat st {};
  if (stat(path.c_str(), &st) != 0 || !S_ISCHR(st.st_mode))
    throw Error(ErrorKind::kUnsupported, "the guest's kernel has no " + printable(path));
  return number_of(st);
}

DeviceNumber find_disk(const std::string& port) {
  unpark_in(port);  // a card may have been expected there
  Slot(port).set_power(true);
  std::string name;
  wait_for_device("a disk in port " + port, [&] { return !(name = disk_in_port(port)).empty(); });
  const std::string text = read_file("/sys/class/block/" + name + "/dev");
  long long major = 0, minor = 0;
  if (sscanf(text.c_str(), "%lld:%lld", &major, &minor) != 2)
    throw Error(ErrorKind::kInternal, "disk " + name + " has no number");
  return {major, minor};
}

std::string type_name(const std::string& type) {
  return type == "u" ? "c" : type;
}

// devtmpfs has a node for each; what else is mounted below /dev (pts, shm) is another file system.
void add_all(std::vector<spec::Device>& devices) {
  struct stat dev {
  }, st{};
  if (lstat(kDev, &dev) != 0) return;
  std::error_code error;
  fs::recursive_directory_iterator entry(kDev, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    const std::string path = entry->path();
    if (lstat(path.c_str(), &st) != 0) continue;
    if (S_ISDIR(st.st_mode) && (st.st_dev != dev.st_dev || entry.depth() >= kMaxDepth))
      entry.disable_recursion_pending();
    const bool named = std::ranges::any_of(devices, [&](const spec::Device& d) { return d.path == path; });
    if (!S_ISCHR(st.st_mode) || named) continue;
    const auto [major, minor] = number_of(st);
    devices.push_back({path, "c", major, minor, st.st_mode & 07777, st.st_uid, st.st_gid});
  }
}

}  // namespace

DeviceNumbers localize_devices(spec::Config& config, const std::vector<DeviceSource>& sources, bool all) {
  DeviceNumbers numbers;
  if (!config.linux_) return numbers;
  std::vector<spec::Device>& devices = config.linux_->devices;
  for (const DeviceSource& source : sources) {
    const auto device = std::ranges::find(devices, source.path, &spec::Device::path);
    if (device == devices.end())
      throw Error(ErrorKind::kInvalid, "device " + printable(source.path) + " is not in the config");
    const DeviceNumber here = with_context("--device " + printable(source.path), [&] {
      return source.port.empty() ? find_named(source.name) : find_disk(source.port);
    });
    numbers[{type_name(device->type), {device->major, device->minor}}] = here;
    std::tie(device->major, device->minor) = here;
  }
  if (all) add_all(devices);
  if (config.linux_->resources) localize_rules(config.linux_->resources->devices, numbers);
  return numbers;
}

void localize_rules(std::vector<spec::DeviceCgroup>& rules, const DeviceNumbers& numbers) {
  for (spec::DeviceCgroup& rule : rules) {
    if (!rule.major || !rule.minor) continue;
    const auto found = numbers.find({type_name(rule.type), {*rule.major, *rule.minor}});
    if (found == numbers.end()) continue;
    rule.major = found->second.first;
    rule.minor = found->second.second;
  }
}

}  // namespace husk::guest
