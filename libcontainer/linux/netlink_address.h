// IP and MAC addresses between text and bytes.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace husk {

struct IpAddress {
  int family = 0;  // AF_INET or AF_INET6
  std::array<uint8_t, 16> bytes{};
  uint8_t prefix = 0;  // bits; of a single address: all

  size_t size() const;  // 4 or 16
  bool is_link_local() const;
  bool operator==(const IpAddress&) const = default;
};

using MacAddress = std::array<uint8_t, 6>;

// Each throws kInvalid for what it cannot read.
IpAddress parse_ip(const std::string& text);    // "10.0.0.1", "fd00::1"
IpAddress parse_cidr(const std::string& text);  // the same with "/prefix"
MacAddress parse_mac(const std::string& text);  // "02:42:ac:11:00:02", unicast and not all zero

// From the bytes of a netlink attribute; `bytes` must hold 4 or 16.
IpAddress make_ip(int family, const void* bytes, uint8_t prefix);
std::string format_ip(const IpAddress& address);
std::string format_cidr(const IpAddress& address);
std::string format_mac(const uint8_t* bytes);

// What the kernel takes as an interface's name (dev_valid_name).
bool valid_interface_name(std::string_view name);

}  // namespace husk
