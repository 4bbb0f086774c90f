// Interfaces as bytes: what husk-sandbox writes and the guest reads. What is read has to be right, since it
// ends in messages to the kernel.
#include <fmt/format.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/netlink.h"
#include "libcontainer/linux/netlink_address.h"
#include "spec/binary.h"

namespace husk {

// Here and not in the namespace below, so that spec/binary.h finds them.
template <typename A, spec::Is<Neighbor> T>
void fields(A& a, T& v) {
  a("address", v.address);
  a("mac", v.mac);
}

template <typename A, spec::Is<Route> T>
void fields(A& a, T& v) {
  a("destination", v.destination);
  a("gateway", v.gateway);
  a("source", v.source);
  a("metric", v.metric);
  a("scope", v.scope);
  a("protocol", v.protocol);
  a("type", v.type);
  a("flags", v.flags);
  a("mtu", v.mtu);
  a("ipv6", v.ipv6);
}

template <typename A, spec::Is<Interface> T>
void fields(A& a, T& v) {
  a("name", v.name);
  a("mac", v.mac);
  a("mtu", v.mtu);
  a("arp", v.arp);
  a("ipv6", v.ipv6);
  a("shares_mac", v.shares_mac);
  a("addresses", v.addresses);
  a("routes", v.routes);
  a("neighbors", v.neighbors);
  a("host_end", v.host_end);
}

namespace {

constexpr size_t kMaxEntries = 4096;  // of each list
constexpr uint32_t kMinMtu = 68, kMaxMtu = 65535;

[[noreturn]] void invalid(const std::string& what) {
  throw Error(ErrorKind::kInvalid, what);
}

void check_number(const char* name, uint32_t value, uint32_t max) {
  if (value > max) invalid(fmt::format("{} is not a number from 0 to {}", name, max));
}

void check_neighbor(const Neighbor& neighbor) {
  parse_ip(neighbor.address);
  parse_mac(neighbor.mac);
}

void check_route(const Route& route) {
  const int family = route.ipv6 ? AF_INET6 : AF_INET;
  if (!route.destination.empty() && parse_cidr(route.destination).family != family)
    invalid("destination is of the other family");
  // An IPv4 destination may have an IPv6 gateway, the other way round there is nothing to route with.
  if (!route.gateway.empty() && parse_ip(route.gateway).family == AF_INET && route.ipv6)
    invalid("an IPv6 route has an IPv4 gateway");
  if (!route.source.empty() && parse_ip(route.source).family != family)
    invalid("source is of the other family");
  check_number("scope", route.scope, RT_SCOPE_NOWHERE);
  check_number("protocol", route.protocol, 255);
  check_number("type", route.type, RTN_MAX);
  check_number("mtu", route.mtu, kMaxMtu);
  if (route.flags & ~uint32_t{RTNH_F_ONLINK}) invalid("flags has more than RTNH_F_ONLINK");
}

template <typename T, typename F>
void check_each(const char* name, const std::vector<T>& list, F&& check_one) {
  if (list.size() > kMaxEntries) invalid(fmt::format("{} has more than {} entries", name, kMaxEntries));
  for (const T& item : list) with_context(name, [&] { check_one(item); });
}

void check_interface(const Interface& interface) {
  if (interface.mtu < kMinMtu || interface.mtu > kMaxMtu)
    invalid(fmt::format("mtu is not a number from {} to {}", kMinMtu, kMaxMtu));
  check_each("addresses", interface.addresses, parse_cidr);
  check_each("routes", interface.routes, check_route);
  check_each("neighbors", interface.neighbors, check_neighbor);
  if (!interface.host_end) return;
  with_context("host_end", [&] {
    check_neighbor(*interface.host_end);
    if (parse_ip(interface.host_end->address).family != AF_INET) invalid("not an IPv4 address");
  });
}

}  // namespace

std::string interface_to_bytes(const Interface& interface) {
  return spec::to_binary(interface);
}

Interface interface_from_bytes(std::string_view bytes) {
  return with_context("network interface", [&] {
    auto interface = spec::from_binary<Interface>(bytes);
    if (!valid_interface_name(interface.name))
      invalid(fmt::format("name \"{}\" is not an interface's", printable(interface.name, 64)));
    with_context(interface.name, [&] {
      interface.mac = format_mac(parse_mac(interface.mac).data());
      check_interface(interface);
    });
    return interface;
  });
}

}  // namespace husk
