// Splitting /proc's lines without iostreams, whose start-up every husk-init would pay for.
#pragma once

#include <string_view>
#include <vector>

namespace husk {

// "a:b::c" → a, b, "", c. An empty text has no parts; a separator at the end adds none.
inline std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    size_t end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return parts;
}

}  // namespace husk
