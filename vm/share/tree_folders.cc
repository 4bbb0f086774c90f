#include "vm/share/tree_folders.h"

#include <algorithm>
#include <unordered_set>

namespace husk::vm {

WatchedFolder& TreeFolders::add(const FileKey& key, WatchedTree& tree, WatchedFolder* parent,
                                const std::string& name) {
  ++tree.folders;
  auto folder = std::make_unique<WatchedFolder>(WatchedFolder{tree, parent, name});
  return *all_.emplace(key, std::move(folder))->second;
}

WatchedFolder* TreeFolders::find(const WatchedFolder& parent, const std::string& name) const {
  const auto found = std::ranges::find_if(
      all_, [&](const auto& item) { return item.second->parent == &parent && item.second->name == name; });
  return found == all_.end() ? nullptr : found->second.get();
}

std::vector<WatchedFolder*> TreeFolders::find(const FileKey& key) const {
  std::vector<WatchedFolder*> found;
  const auto [first, last] = all_.equal_range(key);
  for (auto it = first; it != last; ++it) found.push_back(it->second.get());
  return found;
}

// First all are found, for each asks those above it.
void TreeFolders::remove(const WatchedFolder& folder) {
  WatchedTree& tree = folder.tree;
  std::unordered_set<const WatchedFolder*> gone;
  for (const auto& [key, other] : all_)
    if (other->is_in(folder)) gone.insert(other.get());
  std::erase_if(all_, [&](const auto& item) { return gone.count(item.second.get()) != 0; });
  tree.folders -= gone.size();
}

void TreeFolders::remove(const WatchedTree& tree) {
  std::erase_if(all_, [&](const auto& item) { return &item.second->tree == &tree; });
}

}  // namespace husk::vm
