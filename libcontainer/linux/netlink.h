// Network interfaces as rtnetlink shows them: read in a container's network namespace on the host, written in
// the guest. Everything here acts on the calling thread's network namespace.
#pragma once

#include <cstdint>
#include <optional>
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
  bool arp =
      true;  // IFF_NOARP is not set; without it there is no neighbor discovery, either (ipvlan l3, dummy)
  bool ipv6 = true;  // disable_ipv6 is not set
  // Others on the same wire have this MAC, too (ipvlan), and are told apart by address: the IPv6 link-local
  // one is in `addresses`, and the guest's kernel makes none from the MAC.
  bool shares_mac = false;
  std::vector<std::string> addresses;  // CIDR, v4 and v6; link-local v6 ones are mostly left to the kernel
  // Those of the main table through this interface which the kernel did not make itself. Those that lead
  // nowhere (blackhole, unreachable, prohibit) are the first interface's.
  std::vector<Route> routes;
  std::vector<Neighbor> neighbors;
  // The host's end of the namespace, on link: what comes from there may be for the card's addresses, or for
  // 127.0.0.1. Not of a scan.
  std::optional<Neighbor> host_end;
  // What does not travel:
  int index = 0;                   // the kernel's, where it was scanned
  bool filters_multicast = false;  // it hears only the groups that the host itself has joined
  int tap = 0;                     // the kernel's index of the tap beside it; 0: none
  std::string refusal;             // why it cannot be a VM's; empty: it can
  bool operator==(const Interface&) const = default;
};

std::string interface_to_bytes(const Interface& interface);
// Throws kInvalid for anything malformed (the bytes may come from another party).
Interface interface_from_bytes(std::string_view bytes);

// husk0, husk1, …: a tap of husk's own.
bool is_own_tap(std::string_view name);

// All interfaces that are up, in index order, without lo, without taps of husk's own, and without the ports
// of a bridge (bond, …) that is there, too: their frames are the bridge's. One that carries no Ethernet
// frames, or whose frames come through another one there, has a refusal.
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
