// The folders of trees that are watched: where each is, by what the kernel calls it, and by its name.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "libcontainer/base/fd.h"
#include "vm/share/fanotify.h"

namespace husk::vm {

struct WatchedTree {
  std::string name;
  UniqueFd fd;
  bool is_folder = true;
  size_t folders = 0;
};

// Or a file that is a tree. It moves with those above it.
struct WatchedFolder {
  WatchedTree& tree;
  WatchedFolder* parent;  // null: the tree's top
  std::string name;

  std::string path() const { return parent ? parent->below(name) : ""; }  // below the tree
  std::string below(const std::string& entry) const { return parent ? path() + "/" + entry : entry; }
  bool is_in(const WatchedFolder& other) const { return this == &other || (parent && parent->is_in(other)); }
};

class TreeFolders {
 public:
  WatchedFolder& add(const FileKey& key, WatchedTree& tree, WatchedFolder* parent, const std::string& name);
  WatchedFolder* find(const WatchedFolder& parent, const std::string& name) const;
  // A folder may be in several trees.
  std::vector<WatchedFolder*> find(const FileKey& key) const;
  void remove(const WatchedFolder& folder);  // and those below
  void remove(const WatchedTree& tree);
  void clear() { all_.clear(); }

 private:
  std::unordered_multimap<FileKey, std::unique_ptr<WatchedFolder>> all_;
};

}  // namespace husk::vm
