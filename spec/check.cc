#include "spec/check.h"

#include <algorithm>
#include <charconv>

#include "spec/nearest.h"

namespace husk::spec {

void check_absolute(const std::string& where, std::string_view path) {
  if (path.empty()) fail(where, "missing");
  if (path[0] != '/') fail(where, "must be an absolute path, got " + quoted(path));
}

void check_absolute(const std::string& where, const std::vector<std::string>& paths) {
  for (size_t i = 0; i < paths.size(); ++i) check_absolute(item(where, i), paths[i]);
}

std::string unknown_name(const std::vector<Name>& names, std::string_view name, const char* what) {
  constexpr size_t kFew = 10;
  if (name.empty()) return "missing";
  std::string text = "unknown " + std::string(what) + " " + quoted(name);
  if (names.size() <= kFew) return text + "; expected " + either(names);
  const std::string near = did_you_mean(name, names);
  return text + (near.empty() ? "; expected a name like " + quoted(names[0]) : near);
}

void check_id(const std::string& where, uint32_t id) {
  if (id == UINT32_MAX) fail(where, std::to_string(id) + " is no id: the largest is 4294967294");
}

void check_device_number(const std::string& where, int64_t number, int64_t max) {
  if (number < 0 || number > max)
    fail(where, std::to_string(number) + " is not between 0 and " + std::to_string(max));
}

bool is_plain_name(std::string_view name) {
  return !name.empty() && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return c > ' ' && c != '/' && c != 0x7f; });
}

void check_mappings(const std::string& list, const std::vector<IdMapping>& mappings) {
  constexpr size_t kMax = 340;  // user_namespaces(7)
  if (mappings.size() > kMax)
    fail(list,
         std::to_string(mappings.size()) + " mappings are more than the kernel's " + std::to_string(kMax));
  const auto overlap = [](uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size) {
    return a < b + b_size && b < a + a_size;
  };
  for (size_t i = 0; i < mappings.size(); ++i) {
    const IdMapping& mapping = mappings[i];
    const std::string where = item(list, i);
    if (mapping.size == 0) fail(where + ".size", "must not be zero");
    // The last id, 2^32 - 1, means "none".
    if (uint64_t{mapping.container_id} + mapping.size > UINT32_MAX ||
        uint64_t{mapping.host_id} + mapping.size > UINT32_MAX)
      fail(where, "reaches beyond the last id, 4294967294");
    for (size_t j = 0; j < i; ++j) {
      const IdMapping& other = mappings[j];
      if (overlap(mapping.container_id, mapping.size, other.container_id, other.size))
        fail(where + ".containerID", "overlaps " + item(list, j));
      if (overlap(mapping.host_id, mapping.size, other.host_id, other.size))
        fail(where + ".hostID", "overlaps " + item(list, j));
    }
  }
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
  constexpr unsigned kMaxCpu = 8191;  // the largest NR_CPUS, less one
  const std::string_view whole = text;
  const auto bad = [&] { fail(where, "expected a list like \"0-3,7\", got " + quoted(whole)); };
  const auto number = [&]() -> unsigned {
    unsigned value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || value > kMaxCpu) bad();
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
