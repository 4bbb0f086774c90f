#include "libcontainer/linux/netlink_address.h"

#include <arpa/inet.h>
#include <net/if.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "libcontainer/base/error.h"

namespace husk {
namespace {

[[noreturn]] void throw_invalid(std::string_view what, std::string_view text) {
  throw Error(ErrorKind::kInvalid, "not " + std::string(what) + ": \"" + printable(text, 64) + "\"");
}

}  // namespace

size_t IpAddress::size() const {
  return family == AF_INET ? 4 : 16;
}

bool IpAddress::is_link_local() const {
  if (family == AF_INET) return bytes[0] == 169 && bytes[1] == 254;
  return bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80;
}

IpAddress parse_ip(const std::string& text) {
  IpAddress address;
  address.family = text.find(':') == std::string::npos ? AF_INET : AF_INET6;
  // inet_pton() stops at a NUL inside the text and would not see what follows.
  if (text.find('\0') != std::string::npos || inet_pton(address.family, text.c_str(), &address.bytes) != 1)
    throw_invalid("an IP address", text);
  address.prefix = static_cast<uint8_t>(8 * address.size());
  return address;
}

IpAddress parse_cidr(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash == std::string::npos) throw_invalid("an IP address with a prefix", text);
  IpAddress address = parse_ip(text.substr(0, slash));
  unsigned prefix = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data() + slash + 1, end, prefix);
  if (error != std::errc() || stop != end || prefix > 8 * address.size())
    throw_invalid("an IP address with a prefix", text);
  address.prefix = static_cast<uint8_t>(prefix);
  return address;
}

MacAddress parse_mac(const std::string& text) {
  MacAddress mac{};
  if (text.size() != 17) throw_invalid("a MAC address", text);
  for (size_t i = 0; i < mac.size(); ++i) {
    const char* digits = text.data() + 3 * i;
    const auto [stop, error] = std::from_chars(digits, digits + 2, mac[i], 16);
    if (error != std::errc() || stop != digits + 2 || (i < 5 && *stop != ':'))
      throw_invalid("a MAC address", text);
  }
  if ((mac[0] & 1) || mac == MacAddress{}) throw_invalid("the MAC address of one interface", text);
  return mac;
}

IpAddress make_ip(int family, const void* bytes, uint8_t prefix) {
  IpAddress address;
  address.family = family;
  address.prefix = prefix;
  std::memcpy(address.bytes.data(), bytes, address.size());
  return address;
}

std::string format_ip(const IpAddress& address) {
  char text[INET6_ADDRSTRLEN] = "";
  inet_ntop(address.family, address.bytes.data(), text, sizeof(text));
  return text;
}

std::string format_cidr(const IpAddress& address) {
  return format_ip(address) + "/" + std::to_string(address.prefix);
}

std::string format_mac(const uint8_t* bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < 6; ++i) {
    if (i) text += ':';
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

bool valid_interface_name(std::string_view name) {
  if (name.empty() || name.size() >= IFNAMSIZ || name == "." || name == "..") return false;
  // The kernel allows more, but a '%' would make it a template for dev_alloc_name().
  return std::ranges::all_of(name, [](unsigned char c) { return c > ' ' && c < 0x7f && !strchr("/:%", c); });
}

}  // namespace husk
