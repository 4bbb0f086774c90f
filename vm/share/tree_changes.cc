#include "vm/share/tree_changes.h"

namespace husk::vm {

bool TreeChanges::add(TreeChange change) {
  const auto found = by_key_.find(key(change));
  if (found != by_key_.end()) {
    found->second->mask |= change.mask;
    return true;
  }
  if (changes_.size() >= max_) return false;
  changes_.push_back(std::move(change));
  by_key_.emplace(key(changes_.back()), std::prev(changes_.end()));
  return true;
}

std::vector<TreeChange> TreeChanges::take(size_t max) {
  std::vector<TreeChange> taken;
  while (!changes_.empty() && taken.size() < max) {
    by_key_.erase(key(changes_.front()));
    taken.push_back(std::move(changes_.front()));
    changes_.pop_front();
  }
  return taken;
}

void TreeChanges::forget(const std::string& tree) {
  for (auto it = changes_.begin(); it != changes_.end();) {
    if (it->tree == tree) by_key_.erase(key(*it));
    it = it->tree == tree ? changes_.erase(it) : std::next(it);
  }
}

}  // namespace husk::vm
