#include "spec/check.h"

#include <charconv>

namespace husk::spec {

void check_absolute(const std::string& where, std::string_view path) {
  if (path.empty()) fail(where, "missing");
  if (path[0] != '/') fail(where, "must be an absolute path, got " + quoted(path));
}

void check_absolute(const std::string& where, const std::vector<std::string>& paths) {
  for (size_t i = 0; i < paths.size(); ++i) check_absolute(item(where, i), paths[i]);
}

bool has_dot_dot(std::string_view path) {
  for (size_t start = 0; start <= path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    if (path.substr(start, end - start) == "..") return true;
    start = end + 1;
  }
  return false;
}

void check_env(const std::string& where, const std::vector<std::string>& env) {
  for (size_t i = 0; i < env.size(); ++i) {
    const size_t at = env[i].find('=');
    if (at == std::string::npos || at == 0)
      fail(item(where, i), "expected NAME=value, got " + quoted(env[i]));
  }
}

void check_cpu_list(const std::string& where, std::string_view text) {
  const std::string_view whole = text;
  const auto bad = [&] { fail(where, "expected a list like \"0-3,7\", got " + quoted(whole)); };
  const auto number = [&]() -> unsigned {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc()) bad();
    text.remove_prefix(static_cast<size_t>(end - text.data()));
    return value;
  };
  // The kernel's own files end in a newline, and engines pass them on as they are.
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  while (!text.empty()) {
    const unsigned first = number();
    if (!text.empty() && text[0] == '-') {
      text.remove_prefix(1);
      if (number() < first) bad();
    }
    if (text.empty()) return;
    if (text[0] != ',' || text.size() == 1) bad();
    text.remove_prefix(1);
  }
}

}  // namespace husk::spec
