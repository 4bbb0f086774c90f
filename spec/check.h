// The small checks that the validate_*.cc files are made of. Private to spec/.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libcontainer/base/error.h"
#include "spec/config.h"
#include "spec/names.h"

namespace husk::spec {

inline std::string quoted(std::string_view text) {
  return '"' + printable(text, 128) + '"';
}

// Throws "where: message".
[[noreturn]] inline void fail(const std::string& where, const std::string& message) {
  throw Error(ErrorKind::kInvalid, where + ": " + message);
}

inline std::string item(const std::string& list, size_t index) {
  return list + "[" + std::to_string(index) + "]";
}

// "missing", or "unknown WHAT "NAME"" and what would be right.
std::string unknown_name(const std::vector<Name>& names, std::string_view name, const char* what);

template <size_t N>
void check_known(const std::string& where, const Name (&names)[N], std::string_view name, const char* what) {
  if (!known(names, name)) fail(where, unknown_name({std::begin(names), std::end(names)}, name, what));
}

// A user or group id: the kernel takes the last one, 2^32 - 1, for "leave it as it is".
void check_id(const std::string& where, uint32_t id);
// Of a device, 0 to max.
void check_device_number(const std::string& where, int64_t number, int64_t max);
inline constexpr int64_t kMaxMajor = 4095, kMaxMinor = 1048575;  // 12 and 20 bits, the kernel's dev_t
// A name that becomes a word of a line, or a file: visible characters without a slash.
bool is_plain_name(std::string_view name);
// Ids of a user namespace, or of an idmapped mount.
void check_mappings(const std::string& list, const std::vector<IdMapping>& mappings);

void check_absolute(const std::string& where, std::string_view path);
void check_absolute(const std::string& where, const std::vector<std::string>& paths);
// One of the components between slashes is "..".
bool has_dot_dot(std::string_view path);
// NAME=value entries.
void check_env(const std::string& where, const std::vector<std::string>& env);
// "0-3,7"; empty is fine.
void check_cpu_list(const std::string& where, std::string_view text);

void validate_linux(const Config& config);
void validate_seccomp(const Seccomp& seccomp, const std::string& where);

}  // namespace husk::spec
