#include "libcontainer/linux/mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/linux/copy_tree.h"
#include "libcontainer/linux/namespaces.h"

namespace husk {
namespace {

std::string link_of(int fd) {
  char buf[PATH_MAX];
  ssize_t n = check(readlink(fd_path(fd).c_str(), buf, sizeof buf), "readlink " + fd_path(fd));
  return std::string(buf, static_cast<size_t>(n));
}

// Where the walk below the root really ended, as the container would name it.
std::string path_below(const Root& root, int fd) {
  std::string base = link_of(root.fd()), path = link_of(fd);
  if (base == "/") return path;
  if (path.compare(0, base.size(), base) != 0 || (path.size() > base.size() && path[base.size()] != '/'))
    throw Error(ErrorKind::kInvalid, path + " is not below " + base, EXDEV);
  return path.size() == base.size() ? "/" : path.substr(base.size());
}

// Files of /proc that lxcfs and the like lay their own over; anything else there would fool what the kernel's
// /proc is trusted for (CVE-2019-16884 and its kin).
bool may_hide(const std::string& path) {
  static constexpr const char* kAllowed[] = {"/proc/cpuinfo",
                                             "/proc/diskstats",
                                             "/proc/meminfo",
                                             "/proc/stat",
                                             "/proc/swaps",
                                             "/proc/uptime",
                                             "/proc/loadavg",
                                             "/proc/slabinfo",
                                             "/proc/net/dev",
                                             "/proc/sys/kernel/ns_last_pid",
                                             "/proc/sys/crypto/fips_enabled"};
  for (const char* allowed : kAllowed)
    if (path == allowed) return true;
  return false;
}

void check_destination(const Root& root, int target, const spec::Mount& mount, int source) {
  std::string path = path_below(root, target);
  if (path == "/proc") {
    struct statfs fs;
    if (mount.type == "proc" || (source >= 0 && fstatfs(source, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC))
      return;
    throw Error(ErrorKind::kInvalid,
                "\"" + mount.destination + "\" cannot be mounted because it is not of type proc");
  }
  if (path.starts_with("/proc/") && !may_hide(path))
    throw Error(ErrorKind::kInvalid,
                "\"" + mount.destination + "\" cannot be mounted because it is inside /proc");
  // A /proc that is a symlink would put procfs where nobody masks it (CVE-2019-19921, CVE-2023-27561).
  if ((mount.type == "proc" || mount.type == "sysfs") && path != clean_path(mount.destination))
    throw Error(
        ErrorKind::kInvalid,
        "filesystem \"" + mount.type + "\" must be mounted on an ordinary directory, not through a symlink");
}

// The mode of the folder that a tmpfs hides is the tmpfs's, unless the options name one.
std::string tmpfs_data(const Root& root, const spec::Mount& mount, const MountOptions& o) {
  if (!root.exists(mount.destination)) return o.data;
  struct stat st;
  check(fstat(root.open(mount.destination, O_PATH).get(), &st), "stat " + mount.destination);
  std::string mode = "mode=0000";  // by hand: printf is much code for a guest under TCG
  for (unsigned i = 0; i < 4; ++i) mode[mode.size() - 1 - i] += static_cast<char>(st.st_mode >> 3 * i & 7);
  return o.data.empty() ? mode : mode + "," + o.data;
}

void apply_new_mount(const Root& root, const spec::Mount& mount, const MountOptions& o) {
  bool tmpfs = mount.type == "tmpfs";
  std::string data = tmpfs ? tmpfs_data(root, mount, o) : o.data;
  unsigned long flags = tmpfs ? o.flags & ~static_cast<unsigned long>(MS_RDONLY) : o.flags;
  UniqueFd target = root.make_dirs(mount.destination);
  check_destination(root, target.get(), mount, -1);
  UniqueFd covered;
  if (o.tmpcopyup) covered = open_file(fd_path(target.get()), O_RDONLY | O_DIRECTORY);
  mount_new(mount.source.empty() ? mount.type : mount.source, target.get(), mount.type, flags, data);
  UniqueFd mounted = root.open(mount.destination, O_PATH);
  if (covered) {
    UniqueFd into = open_file(fd_path(mounted.get()), O_RDONLY | O_DIRECTORY);
    with_context("tmpcopyup " + mount.destination, [&] { copy_tree(covered.get(), into.get()); });
  }
  if (o.propagation) set_mount_attributes(mounted.get(), 0, 0, o.propagation, o.propagation_recursive);
  if (o.rec_set | o.rec_clear) set_mount_attributes(mounted.get(), o.rec_set, o.rec_clear, 0, true);
}

}  // namespace

UniqueFd clone_mount(int dir, const std::string& path, bool recursive) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0U) |
                   (path.empty() ? AT_EMPTY_PATH : 0U);
  UniqueFd fd(open_tree(dir, path.c_str(), flags));
  if (!fd) throw_errno("open_tree " + path);
  return fd;
}

void attach_mount(int mount, int target) {
  check(move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH), "move_mount");
}

void set_mount_attributes(int fd, uint64_t set, uint64_t clear, unsigned long propagation, bool recursive) {
  mount_attr attr{};
  attr.attr_set = set;
  attr.attr_clr = clear;
  attr.propagation = propagation;
  check(mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof attr),
        "mount_setattr");
}

void idmap_mount(int mount, int users, bool recursive) {
  mount_attr attr{};
  attr.attr_set = MOUNT_ATTR_IDMAP;
  attr.userns_fd = static_cast<uint64_t>(users);
  check(mount_setattr(mount, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr, sizeof attr),
        "idmapping the mount");
}

void mount_new(const std::string& source, int target, const std::string& type, unsigned long flags,
               const std::string& data) {
  if (mount(source.c_str(), fd_path(target).c_str(), type.c_str(), flags,
            data.empty() ? nullptr : data.c_str()) != 0)
    throw_errno("mount " + type + (data.empty() ? "" : " (" + data + ")"));
}

UniqueFd open_bind_source(const spec::Mount& mount, const MountOptions& o, int users) {
  UniqueFd tree = clone_mount(AT_FDCWD, mount.source, o.recursive);
  if (!o.idmap) return tree;
  UniqueFd own;
  if (!mount.uid_mappings.empty()) own = make_user_namespace(mount.uid_mappings, mount.gid_mappings);
  if (own) users = own.get();
  if (users < 0)
    throw Error(ErrorKind::kInvalid,
                "idmap needs uidMappings and gidMappings of the mount, or a user namespace");
  idmap_mount(tree.get(), users, o.idmap_recursive);
  return tree;
}

void apply_bind_mount(const Root& root, const UniqueFd& tree, const spec::Mount& mount,
                      const MountOptions& o) {
  struct stat st;
  check(fstat(tree.get(), &st), "stat of the source");
  UniqueFd target =
      S_ISDIR(st.st_mode) ? root.make_dirs(mount.destination) : root.make_file(mount.destination);
  check_destination(root, target.get(), mount, tree.get());
  // Only what is asked for is changed: flags that a user namespace has locked stay as they are.
  if (o.attr_set | o.attr_clear) set_mount_attributes(tree.get(), o.attr_set, o.attr_clear, 0, false);
  if (o.rec_set | o.rec_clear) set_mount_attributes(tree.get(), o.rec_set, o.rec_clear, 0, true);
  attach_mount(tree.get(), target.get());
  // After the move, because a shared parent makes what is put on it shared.
  if (o.propagation) set_mount_attributes(tree.get(), 0, 0, o.propagation, o.propagation_recursive);
}

// sysfs shows a network, and only its owner may mount it. What is mounted there already can be shown, though
// not changed.
void apply_foreign_sysfs(const Root& root, spec::Mount mount) {
  mount.type = "bind";
  mount.options = {"rbind", "rro", "nosuid", "noexec", "nodev"};
  apply_bind_mount(root, clone_mount(AT_FDCWD, "/sys", true), mount, parse_mount_options(mount));
}

void apply_mount(const Root& root, const spec::Mount& wanted, const MountContext& context, UniqueFd source) {
  with_context("mounting " + printable(wanted.destination), [&] {
    MountOptions o = parse_mount_options(wanted);
    spec::Mount mount = wanted;
    mount.destination = clean_path(mount.destination);  // ".." as engines mean it, not of a symlink's target
    if (o.bind) {
      if (!source) source = open_bind_source(mount, o, -1);
      apply_bind_mount(root, source, mount, o);
    } else if (mount.type == "sysfs" && context.foreign_network) {
      try {
        apply_new_mount(root, mount, o);
      } catch (const Error& e) {
        if (e.errnum() != EPERM) throw;
        apply_foreign_sysfs(root, mount);
      }
    } else if (mount.type == "cgroup" || mount.type == "cgroup2") {
      check_destination(root, root.make_dirs(mount.destination).get(), mount, -1);
      apply_cgroup_mount(root, mount, o, context);
    } else {
      apply_new_mount(root, mount, o);
    }
  });
}

void seal_mounts(const Root& root, const std::vector<spec::Mount>& mounts) {
  for (const spec::Mount& mount : mounts) {
    if (mount.type != "tmpfs") continue;
    MountOptions o = parse_mount_options(mount);
    if (o.bind || !(o.flags & MS_RDONLY)) continue;
    with_context("making " + printable(mount.destination) + " read-only", [&] {
      set_mount_attributes(root.open(clean_path(mount.destination), O_PATH).get(), MOUNT_ATTR_RDONLY, 0, 0,
                           false);
    });
  }
}

}  // namespace husk
