// Typed access to parsed JSON that knows where it is: every error names the JSON path of the offending value.
// Private to spec/. A struct is read by its fields() function (fields_*.h).
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "spec/config.h"

namespace husk::spec {

// One step of the way to a value. The steps live on the stack; the text is made only for an error.
class JsonPath {
 public:
  explicit JsonPath(std::string_view root) : name_(root) {}
  JsonPath(const JsonPath& parent, std::string_view member) : parent_(&parent), name_(member) {}
  JsonPath(const JsonPath& parent, size_t index) : parent_(&parent), kind_(Kind::kIndex), index_(index) {}
  static JsonPath key(const JsonPath& parent, std::string_view key);

  std::string str() const;  // "linux.sysctl["net.core.somaxconn"]", "process.args[1]"

 private:
  enum class Kind { kMember, kIndex, kKey };
  const JsonPath* parent_ = nullptr;
  Kind kind_ = Kind::kMember;
  std::string_view name_;
  size_t index_ = 0;
};

// Throws "PATH: message".
[[noreturn]] void throw_at(const JsonPath& path, const std::string& message);
// Throws "PATH: expected WHAT, got a string".
[[noreturn]] void throw_type(const JsonPath& path, std::string_view what, const nlohmann::json& json);

int64_t read_signed(const nlohmann::json& json, const JsonPath& path, int64_t min, int64_t max);
uint64_t read_unsigned(const nlohmann::json& json, const JsonPath& path, uint64_t max);

void read(const nlohmann::json& json, const JsonPath& path, bool& value);
void read(const nlohmann::json& json, const JsonPath& path, std::string& value);  // refuses NUL bytes
void read(const nlohmann::json& json, const JsonPath& path, NamespaceType& value);

template <typename T>
requires std::integral<T>
void read(const nlohmann::json& json, const JsonPath& path, T& value) {
  using Limits = std::numeric_limits<T>;
  if constexpr (std::signed_integral<T>)
    value = static_cast<T>(read_signed(json, path, Limits::min(), Limits::max()));
  else
    value = static_cast<T>(read_unsigned(json, path, Limits::max()));
}

template <typename T>
requires std::is_class_v<T>
void read(const nlohmann::json& json, const JsonPath& path, T& value);
template <typename T>
void read(const nlohmann::json& json, const JsonPath& path, std::optional<T>& value);
template <typename T>
void read(const nlohmann::json& json, const JsonPath& path, std::vector<T>& value);
template <typename T>
void read(const nlohmann::json& json, const JsonPath& path, std::map<std::string, T>& value);

// Reads the members of one object; fields() calls it once per member. What is absent or null keeps its
// default.
class JsonReader {
 public:
  // Throws when json is not an object.
  JsonReader(const nlohmann::json& json, const JsonPath& path) : json_(json), path_(path) {
    if (!json.is_object()) throw_type(path, "an object", json);
  }

  template <typename T>
  void operator()(const char* name, T& value) {
    if (const nlohmann::json* json = find(name)) read(*json, JsonPath(path_, name), value);
  }

  // A member without which the others mean nothing.
  template <typename T>
  void required(const char* name, T& value) {
    if (!find(name)) throw_at(JsonPath(path_, name), "missing");
    (*this)(name, value);
  }

  // A value that the spec wraps in an object of its own: "pids": {"limit": 5}.
  template <typename T>
  void nested(const char* outer, const char* inner, T& value) {
    if (const nlohmann::json* json = find(outer)) {
      const JsonPath path(path_, outer);
      JsonReader(*json, path)(inner, value);
    }
  }

  // [{"name": "eth0", "priority": 5}] as a map.
  void priorities(const char* name, std::map<std::string, uint32_t>& value);

 private:
  const nlohmann::json* find(const char* name) const {
    const auto it = json_.find(name);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }

  const nlohmann::json& json_;
  const JsonPath& path_;
};

template <typename T>
requires std::is_class_v<T>
void read(const nlohmann::json& json, const JsonPath& path, T& value) {
  JsonReader reader(json, path);
  fields(reader, value);
}

template <typename T>
void read(const nlohmann::json& json, const JsonPath& path, std::optional<T>& value) {
  read(json, path, value.emplace());
}

template <typename T>
void read(const nlohmann::json& json, const JsonPath& path, std::vector<T>& value) {
  if (!json.is_array()) throw_type(path, "an array", json);
  value.clear();
  value.reserve(json.size());
  for (size_t i = 0; i < json.size(); ++i) read(json[i], JsonPath(path, i), value.emplace_back());
}

template <typename T>
void read(const nlohmann::json& json, const JsonPath& path, std::map<std::string, T>& value) {
  if (!json.is_object()) throw_type(path, "an object", json);
  value.clear();
  for (const auto& [key, item] : json.items()) {
    const JsonPath here = JsonPath::key(path, key);
    if (key.find('\0') != std::string::npos) throw_at(here, "the name holds a NUL byte");
    read(item, here, value[key]);
  }
}

}  // namespace husk::spec
