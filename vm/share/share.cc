#include "vm/share/share.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <spdlog/spdlog.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <vector>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/message.h"
#include "vm/helper_process.h"

namespace husk::vm {
namespace {

constexpr const char* kSocketName = "virtiofsd";  // exists for a moment only
constexpr int kListenFd = 3;
constexpr const char* kVolumes = "@volumes";  // beside the containers' folders; no id has an @
constexpr const char* kVolumePrefix = "volume-";

void set_mount_attributes(int fd, uint64_t set, uint64_t propagation, bool recursive,
                          const std::string& what) {
  mount_attr attr{};
  attr.attr_set = set;
  attr.propagation = propagation;
  unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  check(syscall(SYS_mount_setattr, fd, "", flags, &attr, sizeof attr), "mount_setattr " + what);
}

// A detached copy of what is mounted at path.
UniqueFd clone_tree(const std::string& path, bool recursive) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (recursive ? AT_RECURSIVE : 0);
  return UniqueFd(
      static_cast<int>(check(syscall(SYS_open_tree, AT_FDCWD, path.c_str(), flags), "open_tree " + path)));
}

void attach_tree(int tree, int dir, const std::string& name, const std::string& what) {
  unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (name.empty() ? MOVE_MOUNT_T_EMPTY_PATH : 0);
  check(syscall(SYS_move_mount, tree, "", dir, name.c_str(), flags), "move_mount to " + what);
}

bool is_volume(const std::string& name) {
  return name.rfind(kVolumePrefix, 0) == 0;
}

std::string folder_of(const std::string& container, const std::string& name) {
  return is_volume(name) ? kVolumes : container;
}

void require_name(const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
    throw Error(ErrorKind::kInvalid, "share: bad name \"" + printable(name) + "\"", EINVAL);
}

std::vector<std::string> names_in(int dir) {
  std::vector<std::string> names;
  UniqueFd fd(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  DIR* stream = fd ? fdopendir(fd.get()) : nullptr;
  if (!stream) return names;
  fd.release();
  while (const dirent* entry = readdir(stream)) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  closedir(stream);
  return names;
}

// A socket that only we can reach, and nobody after this: both ends exist, the name in the folder does not.
std::pair<UniqueFd, UniqueFd> make_socket(int folder) {
  UniqueFd listener = listen_at(folder, kSocketName, SOCK_STREAM), socket;
  try {
    socket = connect_at(folder, kSocketName, SOCK_STREAM);
  } catch (const Error&) {
    unlinkat(folder, kSocketName, 0);
    throw;
  }
  check(unlinkat(folder, kSocketName, 0), "unlink the socket");
  return {std::move(listener), std::move(socket)};
}

// No posix_lock, no flock: the guest's kernel keeps them, with F_SETLKW, which virtiofsd cannot do.
// No writeback: what a container wrote is on the host when write() returns.
// announce_submounts: each volume is a file system of its own in the guest, so inode numbers cannot clash.
HelperProcess start_virtiofsd(const ShareConfig& config, const UniqueFd& listener) {
  const std::string mode =
      "sandbox=namespace,xattr,no_writeback,no_posix_lock,no_flock,announce_submounts,log_level=warn";
  return {{config.virtiofsd, "--fd=" + std::to_string(kListenFd), "--thread-pool-size=0", "-o",
           "source=" + config.folder, "-o", "cache=" + config.cache, "-o", mode},
          {{listener.get(), kListenFd}}};
}

}  // namespace

PlainShare::PlainShare(const ShareConfig& config) {
  auto [listener, socket] = make_socket(open_file(config.folder, O_PATH | O_DIRECTORY | O_NOFOLLOW).get());
  socket_ = std::move(socket);
  virtiofsd_.emplace(start_virtiofsd(config, listener));
}

void enter_private_mount_namespace() {
  check(unshare(CLONE_NEWNS), "unshare the mount namespace");
  check(mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr), "making / a slave mount");
}

UniqueFd clone_for_share(const std::string& source, const ShareKind& kind) {
  UniqueFd tree = clone_tree(source, true);
  // Else private: a mount that came in later from the host would be writable below a read-only one.
  set_mount_attributes(tree.get(), kind.readonly ? MOUNT_ATTR_RDONLY : 0,
                       kind.follows ? MS_SLAVE : MS_PRIVATE, true, source);
  return tree;
}

// In a mount namespace that lasts no longer than this call, so that a husk which is killed leaves nothing.
UniqueFd overlay_for_share(const std::string& data, const std::string& place, const ShareKind& kind) {
  UniqueFd home = open_file("/proc/self/ns/mnt", O_RDONLY);
  UniqueFd root = open_file("/", O_PATH | O_DIRECTORY), cwd = open_file(".", O_PATH | O_DIRECTORY);
  enter_private_mount_namespace();
  UniqueFd tree;
  std::unique_ptr<Error> error;
  try {
    check(mount("overlay", place.c_str(), "overlay", 0, data.c_str()), "mount overlay (" + data + ")");
    tree = clone_for_share(place, kind);
  } catch (const Error& e) {
    error = std::make_unique<Error>(e);
  }
  check(setns(home.get(), CLONE_NEWNS), "returning to the mount namespace");
  check(fchdir(root.get()), "fchdir to the root");
  check(chroot("."), "chroot");
  check(fchdir(cwd.get()), "fchdir");
  if (error) throw *error;
  return tree;
}

std::string volume_name(const std::string& source, const ShareKind& kind) {
  struct statx st {};
  check(statx(AT_FDCWD, source.c_str(), 0, STATX_INO | STATX_MNT_ID, &st), "stat " + source);
  return kVolumePrefix + std::to_string(st.stx_mnt_id) + "-" + std::to_string(st.stx_ino) +
         (kind.readonly ? "-ro" : "") + (kind.follows ? "-slave" : "");
}

struct Share::Impl {
  // The folder twice: below our mount, where only we can write, and through it, as the guest sees it:
  // read-only.
  UniqueFd base, top;
  std::optional<HelperProcess> virtiofsd;
  UniqueFd socket;
  std::map<std::string, std::set<std::string>> volumes;  // by name: the containers that added it

  // The folder's path by its fd: it may be renamed.
  std::string mounted() const { return "/proc/self/fd/" + std::to_string(top.get()); }

  // dir: FOLDER/CONTAINER. The folder below holds nothing but the empty mount points: nothing of the user's
  // can be deleted here.
  void detach(int dir, const std::string& container, const std::string& name) {
    std::string path = mounted() + "/" + container + "/" + name;
    while (umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
    }
    if (unlinkat(dir, name.c_str(), 0) != 0) unlinkat(dir, name.c_str(), AT_REMOVEDIR);
  }

  UniqueFd open_folder(const std::string& container) {
    return UniqueFd(openat(base.get(), container.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }

  void remove(const std::string& container) {
    UniqueFd dir = open_folder(container);
    if (!dir) return;
    for (const std::string& name : names_in(dir.get())) detach(dir.get(), container, name);
    if (unlinkat(base.get(), container.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT)
      spdlog::warn("removing the share of {}: errno {}", printable(container), errno);
  }

  void leave_volumes(const std::string& container) {
    UniqueFd dir = open_folder(kVolumes);
    for (auto it = volumes.begin(); it != volumes.end();) {
      auto& [name, users] = *it;
      const bool last = users.erase(container) != 0 && users.empty();
      if (last && dir) detach(dir.get(), kVolumes, name);
      it = last ? volumes.erase(it) : std::next(it);
    }
  }

  void attach(const std::string& container, const std::string& name, UniqueFd tree) {
    struct stat st;
    check(fstat(tree.get(), &st), "stat");
    if (mkdirat(base.get(), container.c_str(), 0755) != 0 && errno != EEXIST)
      throw_errno("mkdir " + container);
    std::string path = container + "/" + name;
    bool is_folder = S_ISDIR(st.st_mode);
    if (is_folder) {
      check(mkdirat(base.get(), path.c_str(), 0755), "mkdir " + path);
    } else {
      open_at(base.get(), path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0644);
    }
    try {
      attach_tree(tree.get(), top.get(), path, path);
    } catch (const Error&) {
      unlinkat(base.get(), path.c_str(), is_folder ? AT_REMOVEDIR : 0);
      throw;
    }
  }

  ~Impl() {
    virtiofsd.reset();
    if (top) {
      for (const std::string& name : names_in(base.get())) remove(name);
      umount2((mounted() + "/.").c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
    }
  }
};

std::unique_ptr<Share> Share::start(const ShareConfig& config) {
  return with_context("starting virtiofsd", [&] {
    if (config.folder.empty() || config.folder.find_first_of(",:") != std::string::npos)
      throw Error(ErrorKind::kInvalid, "bad folder \"" + printable(config.folder) + "\"", EINVAL);
    std::unique_ptr<Share> share(new Share);
    share->impl_ = std::make_unique<Impl>();
    Impl& impl = *share->impl_;
    impl.base = open_file(config.folder, O_PATH | O_DIRECTORY | O_NOFOLLOW);

    auto [listener, socket] = make_socket(impl.base.get());
    impl.socket = std::move(socket);

    // Read-only, or a hostile guest could put symlinks where we are going to mount.
    UniqueFd tree = clone_tree(config.folder, false);
    set_mount_attributes(tree.get(), MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, MS_PRIVATE,
                         false, config.folder);
    attach_tree(tree.get(), impl.base.get(), "", config.folder);
    impl.top = open_file(config.folder, O_PATH | O_DIRECTORY | O_NOFOLLOW);
    // virtiofsd's own namespace is a slave of ours: shared here, later mounts go there.
    set_mount_attributes(impl.top.get(), 0, MS_SHARED, false, config.folder);

    impl.virtiofsd.emplace(start_virtiofsd(config, listener));
    return share;
  });
}

Share::~Share() = default;

UniqueFd Share::take_socket() {
  if (!impl_->virtiofsd->running())
    throw Error(ErrorKind::kInternal, "virtiofsd ended: " + impl_->virtiofsd->last_words());
  return std::move(impl_->socket);
}

void Share::add(const std::string& container, const std::string& name, UniqueFd tree) {
  with_context("sharing " + printable(container + "/" + name), [&] {
    require_name(container);
    require_name(name);
    if (!is_volume(name)) return impl_->attach(container, name, std::move(tree));
    auto found = impl_->volumes.find(name);
    if (found == impl_->volumes.end()) {
      impl_->attach(kVolumes, name, std::move(tree));
      found = impl_->volumes.try_emplace(name).first;
    }
    found->second.insert(container);
  });
}

std::string Share::guest_path(const std::string& container, const std::string& name) {
  return std::string(kGuestRoot) + "/" + folder_of(container, name) + "/" + name;
}

void Share::remove(const std::string& container) {
  require_name(container);
  impl_->remove(container);
  impl_->leave_volumes(container);
}

// One that works in a pid namespace of its own, and one that waits for it.
std::vector<pid_t> Share::pids() const {
  const std::string pid = std::to_string(impl_->virtiofsd->pid());
  std::vector<pid_t> pids = {impl_->virtiofsd->pid()};
  std::istringstream children(read_file("/proc/" + pid + "/task/" + pid + "/children"));
  for (pid_t child; children >> child;) pids.push_back(child);
  return pids;
}

int Share::pidfd() const {
  return impl_->virtiofsd->pidfd();
}

std::string Share::last_words() {
  return impl_->virtiofsd->last_words();
}

}  // namespace husk::vm
