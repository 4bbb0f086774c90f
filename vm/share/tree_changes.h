// What has happened to the files of some trees and nobody was told of yet.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

namespace husk::vm {

struct TreeChange {
  std::string tree, path;  // path: below the tree; empty: itself
  uint32_t mask = 0;       // inotify(7)'s bits, in any order
};

// Each path once, with all that has happened to it, in the order in which they first changed. Bounded.
class TreeChanges {
 public:
  explicit TreeChanges(size_t max) : max_(max) {}
  // False: there are too many, and this one is lost.
  bool add(TreeChange change);
  std::vector<TreeChange> take(size_t max);  // the oldest
  void forget(const std::string& tree);
  bool empty() const { return changes_.empty(); }

 private:
  static std::string key(const TreeChange& change) { return change.tree + '\0' + change.path; }

  const size_t max_;
  std::list<TreeChange> changes_;
  std::unordered_map<std::string, std::list<TreeChange>::iterator> by_key_;
};

}  // namespace husk::vm
