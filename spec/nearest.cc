#include "spec/nearest.h"

#include <algorithm>
#include <numeric>

namespace husk::spec {
namespace {

// Insertions, deletions, replacements and swaps of neighbours that turn one text into the other.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
  std::iota(above.begin(), above.end(), 0);
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before.swap(above);
    above.swap(row);
  }
  return above[b.size()];
}

}  // namespace

std::string did_you_mean(std::string_view wrong, const std::vector<std::string_view>& names) {
  if (wrong.size() > 64) return {};
  std::string_view best;
  // A third of the letters may be wrong: more is another word.
  size_t nearest = std::max<size_t>(wrong.size() / 3, 1) + 1;
  for (const std::string_view name : names) {
    const size_t distance = edit_distance(wrong, name);
    if (distance >= nearest || distance >= name.size()) continue;
    nearest = distance;
    best = name;
  }
  return best.empty() ? "" : "; did you mean \"" + std::string(best) + "\"?";
}

std::string either(const std::vector<std::string_view>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 == names.size() ? " or " : ", ";
    text += names[i];
  }
  return text;
}

}  // namespace husk::spec
