#include "libcontainer/base/error.h"

#include <cerrno>
#include <cstring>
#include <iterator>

namespace husk {
namespace {

constexpr const char* kNames[] = {"internal",   "invalid", "not_found",   "exists",    "wrong_state",
                                  "permission", "timeout", "unsupported", "guest_died"};

ErrorKind kind_of(int errnum) {
  switch (errnum) {
    case EPERM:
    case EACCES:
      return ErrorKind::kPermission;
    case ENOENT:
    case ESRCH:
      return ErrorKind::kNotFound;
    case EEXIST:
      return ErrorKind::kExists;
    case ETIMEDOUT:
      return ErrorKind::kTimeout;
    default:
      return ErrorKind::kInternal;
  }
}

template <typename Good>
std::string escaped(std::string_view text, Good&& good) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (unsigned char c : text) {
    if (good(c)) {
      out += static_cast<char>(c);
    } else {
      out += "\\x";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
  }
  return out;
}

}  // namespace

const char* kind_name(ErrorKind kind) {
  return kNames[static_cast<size_t>(kind)];
}

ErrorKind kind_from_name(std::string_view name) {
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (name == kNames[i]) return static_cast<ErrorKind>(i);
  return ErrorKind::kInternal;
}

void Error::add_context(std::string_view context) {
  message_ = std::string(context) + ": " + message_;
}

void throw_errno(std::string_view what, int errnum) {
  throw Error(kind_of(errnum), std::string(what) + ": " + strerror(errnum), errnum);
}

void throw_errno(std::string_view what) {
  throw_errno(what, errno);
}

std::string printable(std::string_view text, size_t max) {
  std::string out = escaped(text.substr(0, max), [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
  if (text.size() > max) out += "...";
  return out;
}

std::string one_line(std::string_view text) {
  return escaped(text, [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
}

}  // namespace husk
