// Network interfaces as rtnetlink shows them: read in a container's network namespace on the host, written in
// the guest. Everything here acts on the calling thread's network namespace.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace husk {

struct Route {
  std::string destination;  // CIDR; empty: default
  std::string gateway;      // empty: on link; an IPv6 one is allowed for an IPv4 destination (RTA_VIA)
  std::string source;       // preferred source address, may be empty
  uint32_t metric = 0, scope = 0, protocol = 0, type = 1 /* RTN_UNICAST */, flags = 0 /* RTNH_F_ONLINK */;
  uint32_t mtu = 0;  // RTAX_MTU; 0: the interface's
  bool ipv6 = false;
  bool operator==(const Route&) const = default;
};

struct Neighbor {  // permanent ARP or NDP entries only
  std::string address, mac;
  bool operator==(const Neighbor&) const = default;
};

struct Interface {
  std::string name;
  std::string mac;  // "02:42:ac:11:00:02"
  uint32_t mtu = 1500;
  std::vector<std::string> addresses;  // CIDR, v4 and v6; link-local v6 ones are left to the kernel
  std::vector<Route>
      routes;  // those of the main table through this interface which the kernel did not make itself
  std::vector<Neighbor> neighbors;
  int index = 0;  // the kernel's, where it was scanned; does not travel
  bool operator==(const Interface&) const = default;
};

nlohmann::json interface_to_json(const Interface& interface);
// Throws kInvalid for anything malformed (the bytes may come from another party).
Interface interface_from_json(const nlohmann::json& json);

// husk0, husk1, …: a tap of husk's own.
bool is_own_tap(std::string_view name);

// All Ethernet-like interfaces that are up (veth, macvlan, ipvlan, tap, bridge members …), without lo and
// without taps of husk's own, in index order.
std::vector<Interface> scan_interfaces();

// Finds the interface with interface.mac (or, when set, the kernel's name `device`), renames it to
// interface.name, sets MTU, addresses, brings it up, adds neighbors and routes (on-link ones before those
// with gateways). Doing it twice is fine. Another interface that has the name is moved out of the way (to
// "huskoldN"): it gets its own on its own turn. Throws kNotFound when there is no such interface.
void configure_interface(const Interface& interface, const std::string& device = "");
// The same for the interface `device`, after taking away the addresses, routes and neighbors that are in
// `before` only. What somebody else gave it stays.
void reconfigure_interface(const Interface& before, const Interface& interface, const std::string& device);
// Also what brings lo up; it does without libnl, so that husk-init does too.
void set_link_up(const std::string& name);

}  // namespace husk
