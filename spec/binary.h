// The same lists of members (fields.h) as bytes, for those who are of one build: husk and its guest's agent,
// the agent and husk-init. What each costs under emulation is how much different code runs, so there are no
// names and no options: a struct is its members in their order; a number its bytes (little-endian, as both
// sides are x86); a string, list or map its count (32 bits) and its items; an optional one byte, and the
// value if that is 1. Each value has exactly one encoding.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spec/config.h"
#include "spec/fields.h"

namespace husk::spec {

class BinaryWriter {
 public:
  template <typename T>
  void operator()(const char*, const T& value) {
    put(value);
  }
  template <typename T>
  void required(const char*, const T& value) {
    put(value);
  }
  template <typename T>
  void nested(const char*, const char*, const T& value) {
    put(value);
  }
  template <typename T>
  void priorities(const char*, const T& value) {
    put(value);
  }

  std::string take() { return std::move(bytes_); }

 private:
  void put(bool value) { raw(&value, sizeof value); }
  void put(NamespaceType value);
  void put(const std::string& value);
  void put(const std::vector<std::string>& value);
  template <std::integral T>
  void put(T value) {
    raw(&value, sizeof value);
  }
  template <typename T>
  requires std::is_class_v<T>
  void put(const T& value) { fields(*this, value); }
  template <typename T>
  void put(const std::optional<T>& value) {
    put(value.has_value());
    if (value) put(*value);
  }
  template <typename T>
  void put(const std::vector<T>& value) {
    put_count(value.size());
    for (const T& item : value) put(item);
  }
  template <typename T>
  void put(const std::map<std::string, T>& value) {
    put_count(value.size());
    for (const auto& [key, item] : value) {
      put(key);
      put(item);
    }
  }
  void put_count(size_t count);
  void raw(const void* from, size_t size);

  std::string bytes_;
};

// Every error is Error(kInvalid): bytes that end too early or too late, that are no value of their type, or a
// value's second encoding. Strings hold no NUL byte, as none from JSON does. Types do not contain themselves,
// so neither does recursion. Counts are believed as far as there are bytes for them.
class BinaryReader {
 public:
  // The bytes have to outlive it.
  explicit BinaryReader(std::string_view bytes) : rest_(bytes) {}

  template <typename T>
  void operator()(const char* name, T& value) {
    name_ = name;
    get(value);
  }
  template <typename T>
  void required(const char* name, T& value) {
    (*this)(name, value);
  }
  template <typename T>
  void nested(const char* outer, const char*, T& value) {
    (*this)(outer, value);
  }
  template <typename T>
  void priorities(const char* name, T& value) {
    (*this)(name, value);
  }

  // Throws when bytes are left.
  void end() const;

 private:
  void get(bool& value);
  void get(NamespaceType& value);
  void get(std::string& value);
  void get(std::vector<std::string>& value);
  template <std::integral T>
  void get(T& value) {
    raw(&value, sizeof value);
  }
  template <typename T>
  requires std::is_class_v<T>
  void get(T& value) { fields(*this, value); }
  template <typename T>
  void get(std::optional<T>& value) {
    bool there = false;
    get(there);
    value.reset();
    if (there) get(value.emplace());
  }
  template <typename T>
  void get(std::vector<T>& value) {
    const size_t count = get_count();
    value.clear();
    value.reserve(std::min(count, kAhead));
    for (size_t i = 0; i < count; ++i) get(value.emplace_back());
  }
  template <typename T>
  void get(std::map<std::string, T>& value) {
    value.clear();
    for (size_t count = get_count(); count > 0; --count) {
      std::string key;
      get(key);
      if (!value.empty() && value.rbegin()->first >= key) fail("names that are not in order");
      get(value.try_emplace(value.end(), std::move(key))->second);
    }
  }
  size_t get_count();  // not more than there are bytes: an item takes at least one
  void raw(void* to, size_t size);
  [[noreturn]] void fail(const char* why) const;

  static constexpr size_t kAhead = 64;  // items for which room is made before they are seen
  std::string_view rest_;
  const char* name_ = "";  // of the member that is being read, for an error
};

// The members of fields_*.h, which stay private to spec/.
void fields(BinaryWriter& a, const Config& v);
void fields(BinaryReader& a, Config& v);
void fields(BinaryWriter& a, const Process& v);
void fields(BinaryReader& a, Process& v);
void fields(BinaryWriter& a, const Resources& v);
void fields(BinaryReader& a, Resources& v);
void fields(BinaryWriter& a, const Seccomp& v);
void fields(BinaryReader& a, Seccomp& v);

template <typename T>
std::string to_binary(const T& value) {
  BinaryWriter writer;
  fields(writer, value);
  return writer.take();
}

template <typename T>
T from_binary(std::string_view bytes) {
  T value;
  BinaryReader reader(bytes);
  fields(reader, value);
  reader.end();
  return value;
}

}  // namespace husk::spec
