// Which hierarchies there are, and where in them a container belongs.

#include <linux/magic.h>
#include <sys/statfs.h>

#include <algorithm>
#include <array>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/rootless.h"
#include "libcontainer/linux/cgroups_files.h"
#include "libcontainer/linux/mountinfo.h"

namespace husk {
namespace cgroup {
namespace {

constexpr std::array<std::string_view, 14> kV1Controllers = {
    "cpu",     "cpuacct",  "cpuset",     "memory",  "devices", "freezer", "blkio",
    "net_cls", "net_prio", "perf_event", "hugetlb", "pids",    "rdma",    "misc"};

bool is_v1_controller(std::string_view name) {
  return std::find(kV1Controllers.begin(), kV1Controllers.end(), name) != kV1Controllers.end();
}

CgroupHierarchy make_v2(const std::string& mount) {
  CgroupHierarchy h{mount, {}, true, {}};
  std::string text = read_control(mount, "cgroup.controllers").value_or("");
  for (std::string_view name : split(trim(text), ' ')) h.controllers.emplace_back(name);
  return h;
}

// The controllers among a v1 mount's comma-separated options or in a folder's name.
CgroupHierarchy make_v1(const std::string& mount, std::string_view names) {
  CgroupHierarchy h{mount, {}, false, {}};
  for (std::string_view name : split(names, ','))
    if (is_v1_controller(name) || name.starts_with("name=")) h.controllers.emplace_back(name);
  return h;
}

std::vector<CgroupHierarchy> mounted_hierarchies(const std::string& root) {
  std::vector<CgroupHierarchy> found;
  std::vector<std::string> devices;  // "major:minor": the same hierarchy may be mounted more than once
  for (const MountEntry& entry : read_mountinfo()) {
    const bool v2 = entry.type == "cgroup2";
    if (!v2 && entry.type != "cgroup") continue;
    const std::string& mount = entry.mount_point;
    if (mount != root && !mount.starts_with(root + "/")) continue;
    if (std::find(devices.begin(), devices.end(), entry.device) != devices.end()) continue;
    CgroupHierarchy h = v2 ? make_v2(mount) : make_v1(mount, entry.super_options);
    if (!v2 && h.controllers.empty()) continue;
    devices.push_back(entry.device);
    found.push_back(std::move(h));
  }
  return found;
}

std::vector<CgroupHierarchy> hierarchies_in_folder(const std::string& root) {
  if (path_exists(path_join(root, "cgroup.controllers"))) return {make_v2(root)};
  std::vector<CgroupHierarchy> found;
  for (std::string_view name : kV1Controllers)
    if (std::string mount = path_join(root, name); path_exists(mount)) found.push_back(make_v1(mount, name));
  for (const char* name : {"cpu,cpuacct", "net_cls,net_prio"})
    if (std::string mount = path_join(root, name); path_exists(mount)) found.push_back(make_v1(mount, name));
  if (std::string mount = path_join(root, "systemd"); path_exists(mount))
    found.push_back(make_v1(mount, "name=systemd"));
  if (std::string mount = path_join(root, "unified"); path_exists(path_join(mount, "cgroup.controllers")))
    found.push_back(make_v2(mount));
  return found;
}

}  // namespace

bool is_cgroup2(const std::string& path) {
  struct statfs fs;
  return statfs(path.c_str(), &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

// A v2 root is all there is, and needs no look at every mount of a host with a thousand of them.
std::vector<CgroupHierarchy> find_hierarchies(const std::string& root) {
  if (is_cgroup2(root)) return {make_v2(root)};
  std::vector<CgroupHierarchy> found = mounted_hierarchies(root);
  return found.empty() ? hierarchies_in_folder(root) : found;
}

}  // namespace cgroup

namespace {

[[noreturn]] void invalid(const std::string& path, const char* why) {
  throw Error(ErrorKind::kInvalid, "cgroupsPath \"" + printable(path) + "\": " + why);
}

// "a-b.slice" → "/a.slice/a-b.slice" (systemd.slice(5)); "-.slice" is the root.
std::string expand_slice(const std::string& slice, const std::string& path) {
  constexpr std::string_view kSuffix = ".slice";
  if (!slice.ends_with(kSuffix) || slice.find('/') != slice.npos)
    invalid(path, "the slice has to be NAME.slice");
  std::string name = slice.substr(0, slice.size() - kSuffix.size());
  if (name == "-") return "";
  if (name.empty() || name.front() == '-' || name.back() == '-' || name.find("--") != name.npos)
    invalid(path, "the slice's name has an empty part");
  std::string out;
  for (size_t end = name.find('-'); end != name.npos; end = name.find('-', end + 1))
    out += "/" + name.substr(0, end) + ".slice";
  return out + "/" + slice;
}

UnitName parse_unit_name(const std::string& path) {
  size_t first = path.find(':');
  size_t second = first == path.npos ? path.npos : path.find(':', first + 1);
  if (second == path.npos || path.find(':', second + 1) != path.npos)
    invalid(path, "with systemd it has to be slice:prefix:name");
  std::string slice = path.substr(0, first);
  std::string prefix = path.substr(first + 1, second - first - 1);
  std::string name = path.substr(second + 1);
  if (name.empty() || name.find('/') != name.npos || prefix.find('/') != prefix.npos)
    invalid(path, "the unit's name is empty or has a slash");
  if (slice.empty()) slice = is_rootless() ? "user.slice" : "system.slice";
  std::string unit = name.ends_with(".slice") ? name : (prefix.empty() ? "" : prefix + "-") + name + ".scope";
  return {slice, unit};
}

// cgroupsPath, or what stands for an empty one.
std::string asked_path(const std::string& cgroups_path, const std::string& id, bool systemd) {
  std::string path = cgroups_path;
  if (path.empty()) {
    if (id.empty() || id.find('/') != id.npos || id == "." || id == "..")
      throw Error(ErrorKind::kInvalid, "\"" + printable(id) + "\" cannot name a cgroup");
    path = systemd ? ":husk:" + id : "/husk/" + id;
  }
  for (std::string_view part : cgroup::split(path, '/'))
    if (part == "..") invalid(path, "\"..\" is not allowed");
  for (char c : path)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      invalid(path, "control characters are not allowed");
  return path;
}

}  // namespace

UnitName unit_name(const std::string& cgroups_path, const std::string& id) {
  return parse_unit_name(asked_path(cgroups_path, id, true));
}

std::string cgroup_path(const std::string& cgroups_path, const std::string& id, bool systemd) {
  const std::string path = asked_path(cgroups_path, id, systemd);
  if (!systemd) return clean_path("/" + path);
  const UnitName name = parse_unit_name(path);
  return clean_path(expand_slice(name.slice, path) + "/" + name.unit);
}

}  // namespace husk
