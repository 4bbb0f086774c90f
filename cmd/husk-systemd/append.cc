// JSON into a D-Bus message, led by the signature.
#include <algorithm>

#include "cmd/husk-systemd/systemd.h"

namespace husk::systemd {
namespace {

[[noreturn]] void invalid(const std::string& signature) {
  throw Error(ErrorKind::kInvalid, "a value does not fit D-Bus type \"" + printable(signature, 40) + "\"");
}

template <typename Wire>
int append_number(sd_bus_message* m, char type, const Json& value) {
  if (!value.is_number()) return -EINVAL;
  const Wire number = value.get<Wire>();
  return sd_bus_message_append_basic(m, type, &number);
}

int append_basic(sd_bus_message* m, char type, const Json& value) {
  switch (type) {
    case 's':
      return value.is_string()
                 ? sd_bus_message_append_basic(m, 's', value.get_ref<const std::string&>().c_str())
                 : -EINVAL;
    case 'b': {
      const int truth = value.is_boolean() && value.get<bool>();
      return value.is_boolean() ? sd_bus_message_append_basic(m, 'b', &truth) : -EINVAL;
    }
    case 'y':
      return append_number<uint8_t>(m, type, value);
    case 'n':
      return append_number<int16_t>(m, type, value);
    case 'q':
      return append_number<uint16_t>(m, type, value);
    case 'i':
      return append_number<int32_t>(m, type, value);
    case 'u':
      return append_number<uint32_t>(m, type, value);
    case 'x':
      return append_number<int64_t>(m, type, value);
    case 't':
      return append_number<uint64_t>(m, type, value);
    case 'd':
      return append_number<double>(m, type, value);
    default:
      return -EINVAL;
  }
}

// The length of the complete type that begins at `at`; 0 where there is none.
size_t type_length(const std::string& signature, size_t at) {
  size_t end = at;
  while (end < signature.size() && signature[end] == 'a') ++end;
  int open = 0;
  for (; end < signature.size(); ++end) {
    open += signature[end] == '(' ? 1 : signature[end] == ')' ? -1 : 0;
    if (open <= 0) return end + 1 - at;
  }
  return 0;
}

void open(sd_bus_message* m, char type, const std::string& contents) {
  if (sd_bus_message_open_container(m, type, contents.c_str()) < 0) invalid(contents);
}

void close(sd_bus_message* m, const std::string& signature) {
  if (sd_bus_message_close_container(m) < 0) invalid(signature);
}

}  // namespace

void append(sd_bus_message* m, const std::string& signature, const Json& value) {
  if (signature.empty() || type_length(signature, 0) != signature.size()) invalid(signature);
  const char type = signature[0];
  if (type != 'a' && type != '(' && type != 'v') {
    if (append_basic(m, type, value) < 0) invalid(signature);
    return;
  }
  if (!value.is_array()) invalid(signature);
  if (type == 'v') {
    // [signature, value]
    if (value.size() != 2 || !value[0].is_string()) invalid(signature);
    open(m, 'v', value[0]);
    append(m, value[0], value[1]);
  } else if (type == 'a') {
    const std::string element = signature.substr(1);
    open(m, 'a', element);
    for (const Json& one : value) append(m, element, one);
  } else {
    const std::string members = signature.substr(1, signature.size() - 2);
    open(m, 'r', members);
    size_t at = 0;
    for (const Json& one : value) {
      const size_t length = type_length(members, at);
      append(m, members.substr(std::min(at, members.size()), length), one);
      at += length;
    }
    if (at != members.size()) invalid(signature);
  }
  close(m, signature);
}

}  // namespace husk::systemd
