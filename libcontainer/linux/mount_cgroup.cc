// cgroup and cgroup2 mounts: v2 where /sys/fs/cgroup is v2, else the v1 layout of a folder per hierarchy.
#include <fcntl.h>
#include <sys/mount.h>

#include <cerrno>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/linux/cgroups_files.h"
#include "libcontainer/linux/mounts.h"
#include "libcontainer/linux/text.h"

namespace husk {
namespace {

constexpr const char* kCgroupRoot = "/sys/fs/cgroup";

// Our own path in one hierarchy, from /proc/self/cgroup ("4:cpu,cpuacct:/a/b"; v2 is "0::/a/b").
std::string own_cgroup(const std::string& controllers) {
  std::string text = read_file("/proc/self/cgroup");
  for (std::string_view line : split(text, '\n')) {
    size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    if (line.substr(first + 1, second - first - 1) == controllers)
      return std::string(line.substr(second + 1));
  }
  return "/";
}

void mount_v2(const Root& root, const spec::Mount& mount, const MountOptions& o,
              const MountContext& context) {
  UniqueFd target = root.make_dirs(mount.destination);
  if (context.cgroup_namespace) {
    try {
      mount_new("cgroup", target.get(), "cgroup2", o.flags, o.data);
      return;
    } catch (const Error& e) {
      // A user namespace without a full view may not mount it: bind what we were born in instead.
      if (e.errnum() != EPERM && e.errnum() != EBUSY) throw;
    }
  }
  std::string source = context.cgroup;
  if (source.empty())
    source =
        path_join(cgroup::is_cgroup2(kCgroupRoot) ? kCgroupRoot : "/sys/fs/cgroup/unified", own_cgroup(""));
  MountOptions bind = o;
  bind.bind = true;
  apply_bind_mount(root, clone_mount(AT_FDCWD, source, o.recursive), mount, bind);
}

// One hierarchy of v1: {folder on the host, what /proc/self/cgroup calls it}.
struct Hierarchy {
  std::string folder, controllers;
};

// Not those that the container has been given already, with all of /sys.
std::vector<Hierarchy> v1_hierarchies(const std::string& rootfs) {
  static constexpr std::string_view kNotControllers[] = {"rw", "ro", "xattr", "clone_children", "none"};
  std::vector<Hierarchy> out;
  std::string text = read_file("/proc/self/mounts");
  for (std::string_view line : split(text, '\n')) {
    std::vector<std::string_view> fields = split(line, ' ');  // source, folder, type, options, …
    if (fields.size() < 4 || fields[2] != "cgroup") continue;
    // The container's own /sys may be a bind of ours, and then has them, too.
    if (dir_name(fields[1]) != kCgroupRoot) continue;
    std::string folder(fields[1]), controllers;
    if (folder.starts_with(rootfs + "/")) continue;
    for (std::string_view name : split(fields[3], ',')) {
      bool flag =
          name.find("atime") != name.npos || (name.starts_with("no")) || name.starts_with("release_agent=");
      for (std::string_view other : kNotControllers) flag = flag || name == other;
      if (!flag) controllers.append(controllers.empty() ? "" : ",").append(name);
    }
    out.push_back({folder, controllers});
  }
  return out;
}

void mount_v1(const Root& root, const spec::Mount& mount, const MountOptions& o,
              const MountContext& context) {
  mount_new("tmpfs", root.make_dirs(mount.destination).get(), "tmpfs",
            o.flags & ~static_cast<unsigned long>(MS_RDONLY), "mode=755");
  for (const Hierarchy& h : v1_hierarchies(root.path())) {
    spec::Mount part;
    part.destination = path_join(mount.destination, base_name(h.folder));
    if (context.cgroup_namespace) {
      mount_new("cgroup", root.make_dirs(part.destination).get(), "cgroup", o.flags, h.controllers);
      continue;
    }
    MountOptions bind = o;
    bind.bind = true;
    const std::string source = path_join(h.folder, own_cgroup(h.controllers));
    apply_bind_mount(root, clone_mount(AT_FDCWD, source, o.recursive), part, bind);
  }
  if (o.flags & MS_RDONLY)
    set_mount_attributes(root.open(mount.destination, O_PATH).get(), MOUNT_ATTR_RDONLY, 0, 0, false);
}

}  // namespace

void apply_cgroup_mount(const Root& root, const spec::Mount& mount, const MountOptions& o,
                        const MountContext& context) {
  if (mount.type == "cgroup2" || cgroup::is_cgroup2(kCgroupRoot))
    mount_v2(root, mount, o, context);
  else
    mount_v1(root, mount, o, context);
  if (o.propagation)
    set_mount_attributes(root.open(mount.destination, O_PATH).get(), 0, 0, o.propagation,
                         o.propagation_recursive);
}

}  // namespace husk
