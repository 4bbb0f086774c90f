// The mirror of json_reader.h. Private to spec/. Empty strings, lists, maps and absent optionals are left
// out; so are structs of which nothing is left.
#pragma once

#include <concepts>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "spec/config.h"

namespace husk::spec {

const char* namespace_type_name(NamespaceType type);

inline nlohmann::json write(const std::string& value) {
  return value;
}
inline nlohmann::json write(NamespaceType value) {
  return namespace_type_name(value);
}
template <typename T>
requires std::integral<T> nlohmann::json write(T value) {
  return value;
}
template <typename T>
requires std::is_class_v<T> nlohmann::json write(const T& value);
template <typename T>
nlohmann::json write(const std::vector<T>& value);
template <typename T>
nlohmann::json write(const std::map<std::string, T>& value);

class JsonWriter {
 public:
  template <typename T>
  void operator()(const char* name, const T& value) {
    nlohmann::json json = write(value);
    if (!empty(json)) json_[name] = std::move(json);
  }
  template <typename T>
  void operator()(const char* name, const std::optional<T>& value) {
    if (value) json_[name] = write(*value);
  }
  template <typename T>
  void required(const char* name, const T& value) {
    (*this)(name, value);
  }
  template <typename T>
  void nested(const char* outer, const char* inner, const std::optional<T>& value) {
    if (value) json_[outer][inner] = write(*value);
  }
  void priorities(const char* name, const std::map<std::string, uint32_t>& value);

  nlohmann::json take() { return std::move(json_); }

 private:
  static bool empty(const nlohmann::json& json) {
    return json.is_string() ? json.get_ref<const std::string&>().empty()
                            : json.is_structured() && json.empty();
  }

  nlohmann::json json_ = nlohmann::json::object();
};

template <typename T>
requires std::is_class_v<T> nlohmann::json write(const T& value) {
  JsonWriter writer;
  fields(writer, value);
  return writer.take();
}

template <typename T>
nlohmann::json write(const std::vector<T>& value) {
  nlohmann::json json = nlohmann::json::array();
  for (const T& item : value) json.push_back(write(item));
  return json;
}

template <typename T>
nlohmann::json write(const std::map<std::string, T>& value) {
  nlohmann::json json = nlohmann::json::object();
  for (const auto& [key, item] : value) json[key] = write(item);
  return json;
}

}  // namespace husk::spec
