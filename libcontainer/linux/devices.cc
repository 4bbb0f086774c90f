#include "libcontainer/linux/devices.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/linux/mounts.h"
#include "libcontainer/linux/text.h"

namespace husk {
namespace {

mode_t type_bits(const std::string& type) {
  if (type == "c" || type == "u") return S_IFCHR;
  if (type == "b") return S_IFBLK;
  if (type == "p") return S_IFIFO;
  throw Error(ErrorKind::kInvalid, "unknown device type \"" + printable(type) + "\"");
}

// The outside's node may have another path than the container's.
void bind_device(const Root& root, const spec::Device& device) {
  const std::string name = is_node_of(device.path, device) ? "" : kernel_name(device);
  UniqueFd tree = clone_mount(AT_FDCWD, name.empty() ? device.path : path_join("/dev", name), false);
  attach_mount(tree.get(), root.make_file(device.path).get());
}

// config-linux.md, "Devices": what is there already has to be the device.
void check_existing(int dir, const std::string& name, const spec::Device& device, dev_t number) {
  struct stat st;
  check(fstatat(dir, name.c_str(), &st, AT_SYMLINK_NOFOLLOW), "stat");
  const mode_t type = type_bits(device.type);
  if ((st.st_mode & S_IFMT) != type || (type != S_IFIFO && st.st_rdev != number))
    throw Error(ErrorKind::kExists, "another file is there", EEXIST);
}

void make_device(const Root& root, const spec::Device& device) {
  std::string path = clean_path(device.path), name = base_name(path);
  UniqueFd dir = root.make_dirs(dir_name(path));
  mode_t mode = device.file_mode.value_or(0666) & 07777;
  const dev_t number = makedev(static_cast<unsigned>(device.major), static_cast<unsigned>(device.minor));
  if (mknodat(dir.get(), name.c_str(), type_bits(device.type) | mode, number) != 0) {
    if (errno == EEXIST) return check_existing(dir.get(), name, device, number);
    if (errno != EPERM) throw_errno("mknod");
    bind_device(root, device);
    return;
  }
  check(
      fchownat(dir.get(), name.c_str(), device.uid.value_or(0), device.gid.value_or(0), AT_SYMLINK_NOFOLLOW),
      "chown");
  check(fchmodat(dir.get(), name.c_str(), mode, 0), "chmod");  // what a default ACL or umask took away
}

}  // namespace

std::string sysfs_path(const spec::Device& device) {
  return std::string("/sys/dev/") + (device.type == "b" ? "block/" : "char/") + std::to_string(device.major) +
         ":" + std::to_string(device.minor);
}

std::string kernel_name(const spec::Device& device) {
  const std::string file = path_join(sysfs_path(device), "uevent");
  if (!path_exists(file)) return "";
  constexpr std::string_view kKey = "DEVNAME=";
  const std::string text = read_file(file);
  for (std::string_view line : split(text, '\n'))
    if (line.starts_with(kKey)) return std::string(line.substr(kKey.size()));
  return "";
}

bool is_node_of(const std::string& path, const spec::Device& device) {
  struct stat st {};
  return stat(path.c_str(), &st) == 0 && (st.st_mode & S_IFMT) == type_bits(device.type) &&
         st.st_rdev == makedev(static_cast<unsigned>(device.major), static_cast<unsigned>(device.minor));
}

std::vector<spec::Device> default_devices() {
  struct Row {
    const char* path;
    int64_t major, minor;
  };
  static constexpr Row kRows[] = {{"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
                                  {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};
  std::vector<spec::Device> out(std::size(kRows));
  for (size_t i = 0; i < out.size(); ++i) {
    out[i].path = kRows[i].path;
    out[i].type = "c";
    out[i].major = kRows[i].major;
    out[i].minor = kRows[i].minor;
  }
  return out;
}

void make_devices(const Root& root, const std::vector<spec::Device>& devices, bool bind) {
  const auto make = [&](const spec::Device& device) {
    // The terminal's own nodes are made by devpts and by the console.
    if (device.path == "/dev/ptmx" || device.path == "/dev/console") return;
    with_context("making device " + printable(device.path), [&] {
      if (bind)
        bind_device(root, device);
      else
        make_device(root, device);
    });
  };
  for (const spec::Device& device : devices) make(device);
  for (const spec::Device& device : default_devices())
    if (std::ranges::find(devices, device.path, &spec::Device::path) == devices.end()) make(device);
}

}  // namespace husk
