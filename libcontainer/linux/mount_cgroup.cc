// cgroup and cgroup2 mounts: v2 where /sys/fs/cgroup is v2, else the v1 layout of a folder per hierarchy.
#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

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

std::string join(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ",") + name;
  return out;
}

// "cpu" and "cpuacct" beside "cpu,cpuacct", as every host has them.
void link_controllers(int folder, const CgroupHierarchy& h, const std::string& name) {
  if (h.controllers.size() < 2) return;
  for (const std::string& controller : h.controllers)
    if (controller != name && symlinkat(name.c_str(), folder, controller.c_str()) != 0 && errno != EEXIST)
      throw_errno("symlink " + controller);
}

void mount_v1(const Root& root, const spec::Mount& mount, const MountOptions& o,
              const MountContext& context) {
  mount_new("tmpfs", root.make_dirs(mount.destination).get(), "tmpfs",
            o.flags & ~static_cast<unsigned long>(MS_RDONLY), "mode=755");
  const UniqueFd folder = root.make_dirs(mount.destination);
  for (const CgroupHierarchy& h : cgroup::find_hierarchies(kCgroupRoot)) {
    if (h.v2 || dir_name(h.mount) != kCgroupRoot) continue;
    const std::string name = base_name(h.mount), controllers = join(h.controllers);
    link_controllers(folder.get(), h, name);
    spec::Mount part;
    part.destination = path_join(mount.destination, name);
    if (context.cgroup_namespace) {
      mount_new("cgroup", root.make_dirs(part.destination).get(), "cgroup", o.flags, controllers);
      continue;
    }
    MountOptions bind = o;
    bind.bind = true;
    const std::string source = path_join(h.mount, own_cgroup(controllers));
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
