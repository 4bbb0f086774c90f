#include "spec/json_reader.h"

#include <cmath>

#include "libcontainer/base/error.h"
#include "spec/check.h"
#include "spec/names.h"

namespace husk::spec {
namespace {

using Json = nlohmann::json;

const char* type_text(const Json& json) {
  switch (json.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "a string";
    case Json::value_t::boolean:
      return "a boolean";
    case Json::value_t::number_float:
      return "a number with a fraction or an exponent";
    default:
      return "an integer";
  }
}

template <typename Min, typename Max>
[[noreturn]] void throw_range(const Json& json, const JsonPath& path, Min min, Max max) {
  throw_at(path,
           json.dump() + " is out of range (" + std::to_string(min) + " to " + std::to_string(max) + ")");
}

// An integer too large for 64 bits arrives as a float.
bool is_huge(const Json& json) {
  return json.is_number_float() && std::abs(json.get<double>()) >= 0x1p63;
}

}  // namespace

JsonPath JsonPath::key(const JsonPath& parent, std::string_view key) {
  JsonPath path(parent, key);
  path.kind_ = Kind::kKey;
  return path;
}

std::string JsonPath::str() const {
  std::string text = parent_ ? parent_->str() : "";
  if (kind_ == Kind::kIndex) return text + "[" + std::to_string(index_) + "]";
  if (kind_ == Kind::kKey) return text + "[\"" + printable(name_, 128) + "\"]";
  if (!text.empty() && !name_.empty()) text += '.';
  return text.append(name_);
}

void throw_at(const JsonPath& path, const std::string& message) {
  const std::string where = path.str();
  throw Error(ErrorKind::kInvalid, where.empty() ? message : where + ": " + message);
}

void throw_type(const JsonPath& path, std::string_view what, const Json& json) {
  throw_at(path, "expected " + std::string(what) + ", got " + type_text(json));
}

int64_t read_signed(const Json& json, const JsonPath& path, int64_t min, int64_t max) {
  if (is_huge(json)) throw_range(json, path, min, max);
  if (!json.is_number_integer()) throw_type(path, "an integer", json);
  if (json.is_number_unsigned() && json.get<uint64_t>() > static_cast<uint64_t>(max))
    throw_range(json, path, min, max);
  const auto value = json.get<int64_t>();
  if (value < min) throw_range(json, path, min, max);
  return value;
}

uint64_t read_unsigned(const Json& json, const JsonPath& path, uint64_t max) {
  if (is_huge(json)) throw_range(json, path, 0, max);
  if (!json.is_number_integer()) throw_type(path, "an integer", json);
  // Programs hand over JSON values with signed, positive numbers too: those are not is_number_unsigned().
  if (!json.is_number_unsigned() && json.get<int64_t>() < 0) throw_range(json, path, 0, max);
  const auto value = json.get<uint64_t>();
  if (value > max) throw_range(json, path, 0, max);
  return value;
}

void read(const Json& json, const JsonPath& path, bool& value) {
  if (!json.is_boolean()) throw_type(path, "a boolean", json);
  value = json.get<bool>();
}

void read(const Json& json, const JsonPath& path, std::string& value) {
  if (!json.is_string()) throw_type(path, "a string", json);
  value = json.get_ref<const std::string&>();
  // The kernel would see only the part before it: what is checked must be what is used.
  if (value.find('\0') != std::string::npos) throw_at(path, "the string holds a NUL byte");
}

void read(const Json& json, const JsonPath& path, NamespaceType& value) {
  std::string name;
  read(json, path, name);
  for (size_t i = 0; i < std::size(kNamespaceTypes); ++i) {
    if (name != kNamespaceTypes[i]) continue;
    value = static_cast<NamespaceType>(i);
    return;
  }
  throw_at(path,
           unknown_name({std::begin(kNamespaceTypes), std::end(kNamespaceTypes)}, name, "namespace type"));
}

void JsonReader::priorities(const char* name, std::map<std::string, uint32_t>& value) {
  const Json* json = find(name);
  if (!json) return;
  const JsonPath path(path_, name);
  if (!json->is_array()) throw_type(path, "an array", *json);
  for (size_t i = 0; i < json->size(); ++i) {
    const JsonPath here(path, i);
    JsonReader item((*json)[i], here);
    std::string interface;
    uint32_t priority = 0;
    item("name", interface);
    item("priority", priority);
    if (interface.empty()) throw_at(JsonPath(here, "name"), "missing");
    value[interface] = priority;
  }
}

}  // namespace husk::spec
