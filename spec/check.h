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

template <size_t N>
void check_known(const std::string& where, const Name (&names)[N], std::string_view name, const char* what) {
  if (!known(names, name)) fail(where, "unknown " + std::string(what) + " " + quoted(name));
}

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
