#include "libcontainer/linux/rootfs.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/linux/mountinfo.h"
#include "libcontainer/linux/mounts.h"

namespace husk {
namespace {

unsigned long propagation_flag(const std::string& name) {
  if (name == "shared") return MS_SHARED;
  if (name == "slave") return MS_SLAVE;
  if (name == "private") return MS_PRIVATE;
  if (name == "unbindable") return MS_UNBINDABLE;
  if (name == "rshared") return MS_SHARED | MS_REC;
  if (name == "rslave") return MS_SLAVE | MS_REC;
  if (name == "rprivate") return MS_PRIVATE | MS_REC;
  if (name == "runbindable") return MS_UNBINDABLE | MS_REC;
  throw Error(ErrorKind::kInvalid, "unknown rootfsPropagation \"" + printable(name) + "\"");
}

void set_propagation(const std::string& path, unsigned long flags) {
  if (mount(nullptr, path.c_str(), nullptr, flags, nullptr) != 0)
    throw_errno("setting the propagation of " + path);
}

// The mount that `path` is on: the nearest parent that takes a propagation flag is a mount point.
void make_parent_private(std::string path) {
  for (;; path = dir_name(path)) {
    if (mount(nullptr, path.c_str(), nullptr, MS_PRIVATE, nullptr) == 0) return;
    if (errno != EINVAL || path == "/") throw_errno("making the parent mount of the rootfs private");
  }
}

// With MS_MOVE the outside's mounts stay below ours. Its full views of /proc and /sys would allow the
// container to mount such of its own in a user namespace: take them away.
void unmount_outer_kernel_views(const std::string& rootfs) {
  const std::vector<MountEntry> mounts = read_mountinfo();
  for (auto entry = mounts.rbegin(); entry != mounts.rend(); ++entry) {
    const std::string& path = entry->mount_point;
    if ((entry->type != "proc" && entry->type != "sysfs") || path.starts_with(rootfs + "/")) continue;
    if (umount2(path.c_str(), MNT_DETACH) == 0 || errno == EINVAL) continue;
    if (mount("tmpfs", path.c_str(), "tmpfs", MS_RDONLY, nullptr) != 0) throw_errno("hiding " + path);
  }
}

UniqueFd open_null() {
  UniqueFd null = open_file("/dev/null", O_PATH | O_NOFOLLOW);
  struct stat st;
  if (fstat(null.get(), &st) != 0 || !S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
    throw Error(ErrorKind::kInternal, "/dev/null is not the null device");
  return null;
}

// Nothing where there is nothing. Looked at first, because most engines name paths that no kernel has all of,
// and an exception costs more than a walk.
UniqueFd open_if_there(const Root& root, const std::string& path) {
  return root.exists(path) ? root.open(path, O_PATH) : UniqueFd();
}

void link_if_missing(int dir, const char* target, const char* name) {
  if (symlinkat(target, dir, name) != 0 && errno != EEXIST) throw_errno(std::string("symlink /dev/") + name);
}

}  // namespace

void prepare_rootfs(const std::string& rootfs, const std::string& propagation) {
  unsigned long flag = propagation_flag(propagation.empty() ? "slave" : propagation);
  if (flag & MS_SHARED) {
    make_parent_private(rootfs);
  } else {
    set_propagation("/", (flag & MS_PRIVATE ? MS_PRIVATE : MS_SLAVE) | MS_REC);
  }
  if (mount(rootfs.c_str(), rootfs.c_str(), nullptr, MS_BIND | MS_REC, nullptr) != 0)
    throw_errno("bind " + rootfs);
}

void link_default_devices(const Root& root) {
  UniqueFd dev = root.make_dirs("/dev");
  link_if_missing(dev.get(), "/proc/self/fd", "fd");
  link_if_missing(dev.get(), "/proc/self/fd/0", "stdin");
  link_if_missing(dev.get(), "/proc/self/fd/1", "stdout");
  link_if_missing(dev.get(), "/proc/self/fd/2", "stderr");
  if (root.exists("/proc/kcore")) link_if_missing(dev.get(), "/proc/kcore", "core");
  // A ptmx of an image would be the device of the initial devpts: the container's own has to be taken.
  if (!root.exists("/dev/pts/ptmx")) return;
  unlinkat(dev.get(), "ptmx", 0);
  link_if_missing(dev.get(), "pts/ptmx", "ptmx");
}

void mask_paths(const Root& root, const std::vector<std::string>& paths) {
  if (paths.empty()) return;
  UniqueFd null = open_null(), empty;  // empty: one tmpfs stands for all folders
  for (const std::string& path : paths) {
    UniqueFd target = open_if_there(root, path);
    if (!target) continue;
    with_context("masking " + printable(path), [&] {
      struct stat st;
      check(fstat(target.get(), &st), "stat");
      if (!S_ISDIR(st.st_mode)) {
        attach_mount(clone_mount(null.get(), "", false).get(), target.get());
      } else if (empty) {
        attach_mount(clone_mount(empty.get(), "", false).get(), target.get());
      } else {
        mount_new("tmpfs", target.get(), "tmpfs", MS_RDONLY, "nr_inodes=2");
        empty = root.open(path, O_PATH);
      }
    });
  }
}

void make_paths_readonly(const Root& root, const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    UniqueFd target = open_if_there(root, path);
    if (!target) continue;
    with_context("making " + printable(path) + " read-only", [&] {
      UniqueFd tree = clone_mount(target.get(), "", true);
      set_mount_attributes(tree.get(), MOUNT_ATTR_RDONLY, 0, 0, true);
      attach_mount(tree.get(), target.get());
    });
  }
}

void make_rootfs_readonly(const Root& root) {
  with_context("making the rootfs read-only",
               [&] { set_mount_attributes(root.fd(), MOUNT_ATTR_RDONLY, 0, 0, false); });
}

void switch_root(const Root& root, bool no_pivot, const std::string& propagation) {
  check(fchdir(root.fd()), "chdir " + root.path());
  if (no_pivot) {
    unmount_outer_kernel_views(root.path());
    check(fchdir(root.fd()), "chdir " + root.path());
    check(mount(".", "/", nullptr, MS_MOVE, nullptr), "moving the rootfs to /");
    check(chroot("."), "chroot");
  } else {
    // The old root ends up on top of the new one, without needing a folder there; then it is detached.
    UniqueFd old = open_file("/", O_PATH | O_DIRECTORY);
    if (syscall(SYS_pivot_root, ".", ".") != 0)
      throw_errno(errno == EINVAL ? "pivot_root (is the old root an initramfs? then --no-pivot is needed)"
                                  : "pivot_root");
    check(fchdir(old.get()), "chdir to the old root");
    set_propagation(".", MS_SLAVE | MS_REC);  // so that the outside keeps what we unmount
    check(umount2(".", MNT_DETACH), "unmounting the old root");
  }
  check(chdir("/"), "chdir /");
  if (!propagation.empty()) set_propagation("/", propagation_flag(propagation));
}

}  // namespace husk
