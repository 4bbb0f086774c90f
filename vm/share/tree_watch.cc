#include "vm/share/tree_watch.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <spdlog/spdlog.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "libcontainer/base/error.h"

namespace husk::vm {
namespace {

constexpr uint64_t kChanged = FAN_MODIFY | FAN_ATTRIB | FAN_CLOSE_WRITE;
constexpr uint64_t kCame = FAN_CREATE | FAN_MOVED_TO, kWent = FAN_DELETE | FAN_MOVED_FROM;
constexpr uint64_t kTold = kChanged | kCame | kWent | FAN_ONDIR;
static_assert(kChanged == (IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE) && kCame == (IN_CREATE | IN_MOVED_TO) &&
              kWent == (IN_DELETE | IN_MOVED_FROM) && FAN_ONDIR == IN_ISDIR);

constexpr size_t kMaxEntries = 65536;  // of a folder that are looked at, for folders
constexpr size_t kMaxMarks = 64 * TreeWatch::kMaxFolders;

UniqueFd open_below(int dir, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  return UniqueFd(
      static_cast<int>(syscall(SYS_openat2, dir, path.empty() ? "." : path.c_str(), &how, sizeof how)));
}

bool is_folder(int dir, const dirent& entry) {
  if (entry.d_type != DT_UNKNOWN) return entry.d_type == DT_DIR;
  struct stat st {};
  return fstatat(dir, entry.d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

}  // namespace

TreeWatch::TreeWatch(std::vector<pid_t> silent)
    : silent_(std::move(silent)), group_(std::make_unique<Fanotify>()) {}

TreeWatch::~TreeWatch() = default;

// --- what is watched ---

void TreeWatch::add(const std::string& name, UniqueFd fd) {
  struct stat st {};
  struct statvfs mount {};
  check(fstat(fd.get(), &st), "stat");
  check(fstatvfs(fd.get(), &mount), "statvfs");
  if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode)) return;
  if (!group_->privileged() && !(mount.f_flag & ST_RDONLY))
    throw Error(ErrorKind::kPermission, "the kernel does not tell an ordinary user who changes a file",
                EPERM);
  auto [place, is_new] = trees_.try_emplace(name);
  if (!is_new) return;
  place->second = std::make_unique<WatchedTree>(WatchedTree{name, std::move(fd), S_ISDIR(st.st_mode)});
  WatchedTree& tree = *place->second;
  try {
    WatchedFolder* top = enter(tree, nullptr, "", tree.fd.get());
    if (top && tree.is_folder) scan(*top);
  } catch (const Error&) {
    folders_.remove(tree);
    trees_.erase(place);
    throw;
  }
}

void TreeWatch::remove(const std::string& name, TreeChanges& changes) {
  if (trees_.erase(name) == 0) return;
  begin_anew(changes);
  changes.forget(name);
}

// Null: there are enough.
WatchedFolder* TreeWatch::enter(WatchedTree& tree, WatchedFolder* parent, const std::string& name, int fd) {
  if (tree.folders >= kMaxFolders) {
    if (!std::exchange(told_full_, true))
      spdlog::warn(
          "of a volume with more than {} folders the guest's inotify sees changes on the host in the upper "
          "ones",
          kMaxFolders);
    return nullptr;
  }
  group_->mark(fd, tree.is_folder ? kTold | FAN_EVENT_ON_CHILD : kChanged);
  ++marks_;
  return &folders_.add(file_key(fd), tree, parent, name);
}

// Level by level. What cannot be opened, or has gone meanwhile, is left out.
void TreeWatch::scan(WatchedFolder& top) {
  std::vector<WatchedFolder*> level{&top};
  while (!level.empty()) {
    std::vector<WatchedFolder*> next;
    for (WatchedFolder* folder : level)
      if (const UniqueFd fd = open_below(folder->tree.fd.get(), folder->path()))
        enter_below(*folder, fd.get(), next);
    level = std::move(next);
  }
}

void TreeWatch::enter_below(WatchedFolder& folder, int fd, std::vector<WatchedFolder*>& found) {
  UniqueFd own = dup_fd(fd);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(own.get()), closedir);
  if (!stream) return;
  own.release();
  size_t entries = 0;
  while (const dirent* entry = readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (folder.tree.folders >= kMaxFolders && told_full_) return;
    if (++entries > kMaxEntries) return;
    if (name == "." || name == ".." || !is_folder(fd, *entry)) continue;
    if (folders_.find(folder, name)) continue;  // readdir(3) may tell of it twice
    const UniqueFd child = open_below(fd, name);
    if (!child) continue;
    try {
      if (WatchedFolder* entered = enter(folder.tree, &folder, name, child.get())) found.push_back(entered);
    } catch (const Error& e) {
      spdlog::debug("{}: {}", printable(folder.below(name)), e.what());
    }
  }
}

// A new group has no marks of what is nobody's any more. What the old one had to tell is told.
void TreeWatch::begin_anew(TreeChanges& changes) {
  const std::unique_ptr<Fanotify> old = std::exchange(group_, std::make_unique<Fanotify>());
  std::map<std::string, std::unique_ptr<WatchedTree>> trees;
  trees.swap(trees_);
  folders_.clear();
  marks_ = 0;
  for (auto& [name, tree] : trees) {
    try {
      add(name, std::move(tree->fd));
    } catch (const Error& e) {
      spdlog::debug("{}: {}", name, e.what());
    }
  }
  bool lost = false;
  take(old->read(lost), changes);
}

// --- what happens ---

void TreeWatch::read(TreeChanges& changes) {
  bool lost = false;
  take(group_->read(lost), changes);
  if (lost) warn_of_loss();
  if (lost || marks_ > kMaxMarks) begin_anew(changes);
}

void TreeWatch::warn_of_loss() {
  if (!std::exchange(told_loss_, true))
    spdlog::warn(
        "the guest's inotify misses some of what the host changes in volumes: it is too much at a time");
}

void TreeWatch::tell(const WatchedFolder& folder, const std::string& name, uint64_t mask,
                     TreeChanges& changes) {
  const std::string path = name.empty() || name == "." ? folder.path() : folder.below(name);
  if (!changes.add({folder.tree.name, path, static_cast<uint32_t>(mask & kTold)})) warn_of_loss();
}

// The guest's own folders are followed, too.
void TreeWatch::take(const std::vector<FileEvent>& events, TreeChanges& changes) {
  for (const FileEvent& event : events) {
    const bool told = std::ranges::find(silent_, event.pid) == silent_.end();
    for (size_t i = 0; i < folders_.find(event.folder).size(); ++i) {  // what follow() finds may end some
      WatchedFolder& folder = *folders_.find(event.folder)[i];
      if (told) tell(folder, event.name, event.mask, changes);
      if (event.mask & FAN_ONDIR && event.mask & (kCame | kWent)) follow(folder, event);
    }
    for (const WatchedFolder* file : folders_.find(event.file))
      if (told && !file->tree.is_folder) tell(*file, "", event.mask & kChanged, changes);
  }
}

void TreeWatch::follow(WatchedFolder& parent, const FileEvent& event) {
  if (const WatchedFolder* known = folders_.find(parent, event.name)) folders_.remove(*known);
  const UniqueFd fd = open_below(parent.tree.fd.get(), parent.below(event.name));
  if (!fd) return;
  try {
    if (WatchedFolder* entered = enter(parent.tree, &parent, event.name, fd.get())) scan(*entered);
  } catch (const Error& e) {
    spdlog::debug("{}: {}", printable(event.name), e.what());
  }
}

}  // namespace husk::vm
