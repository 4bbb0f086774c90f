// Sees what is done to the files of trees on the host, by whom else than the guest.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "libcontainer/base/fd.h"
#include "vm/share/fanotify.h"
#include "vm/share/tree_changes.h"
#include "vm/share/tree_folders.h"

namespace husk::vm {

// For one thread.
class TreeWatch {
 public:
  static constexpr size_t kMaxFolders = 1024;  // of a tree

  // What a process of `silent` does is not told. Throws where the kernel has no such fanotify. Without
  // CAP_SYS_ADMIN it does not say who it was: then only trees that are mounted read-only are watched.
  explicit TreeWatch(std::vector<pid_t> silent);
  ~TreeWatch();

  // tree: a file, or a folder, which is watched with those below it in the same file system, the upper ones
  // first, up to kMaxFolders (a warning). name: as in TreeChange. Throws where it cannot be watched.
  void add(const std::string& name, UniqueFd tree);
  void remove(const std::string& name, TreeChanges& changes);
  int fd() const { return group_->fd(); }  // readable: call read(). Another one after remove() and read()
  // Adds what has happened. Where something was lost it warns, once, and looks for new folders.
  void read(TreeChanges& changes);

 private:
  WatchedFolder* enter(WatchedTree& tree, WatchedFolder* parent, const std::string& name, int fd);
  void enter_below(WatchedFolder& folder, int fd, std::vector<WatchedFolder*>& found);
  void scan(WatchedFolder& top);
  void begin_anew(TreeChanges& changes);
  void take(const std::vector<FileEvent>& events, TreeChanges& changes);
  void follow(WatchedFolder& parent, const FileEvent& event);
  void tell(const WatchedFolder& folder, const std::string& name, uint64_t mask, TreeChanges& changes);
  void warn_of_loss();

  const std::vector<pid_t> silent_;
  std::unique_ptr<Fanotify> group_;
  std::map<std::string, std::unique_ptr<WatchedTree>> trees_;
  TreeFolders folders_;
  size_t marks_ = 0;  // that this group was given: those of what has left its tree stay
  bool told_full_ = false, told_loss_ = false;
};

}  // namespace husk::vm
