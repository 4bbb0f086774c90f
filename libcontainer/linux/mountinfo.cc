#include "libcontainer/linux/mountinfo.h"

#include <algorithm>
#include <string_view>

#include "libcontainer/base/file.h"
#include "libcontainer/linux/text.h"

namespace husk {
namespace {

// Space, tab, newline and backslash are written as \ooo.
std::string unescape(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

std::vector<MountEntry> read_mountinfo() {
  std::vector<MountEntry> entries;
  const std::string text = read_file("/proc/self/mountinfo");
  for (std::string_view line : split(text, '\n')) {
    // id parent major:minor root mountpoint options [optional…] - type source superoptions
    const std::vector<std::string_view> fields = split(line, ' ');
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.end() - dash < 4 || dash - fields.begin() < 6) continue;
    entries.push_back(
        {std::string(fields[2]), unescape(fields[4]), std::string(dash[1]), std::string(dash[3])});
  }
  return entries;
}

}  // namespace husk
