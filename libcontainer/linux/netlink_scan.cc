// Reading: the interfaces of the calling thread's network namespace. Four dumps, joined by interface index.
#include <fmt/format.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/ipv6.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <cstring>
#include <map>
#include <optional>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/netlink.h"
#include "libcontainer/linux/netlink_address.h"
#include "libcontainer/linux/netlink_socket.h"

namespace husk {
namespace {

using Interfaces = std::map<int, Interface>;  // by index, which is the order the caller is promised

std::optional<IpAddress> ip_of(int family, const void* bytes, uint8_t prefix) {
  if (!bytes) return std::nullopt;
  return make_ip(family, bytes, prefix);
}

size_t ip_size(int family) {
  return family == AF_INET ? 4 : 16;
}

using LinkReply = NetlinkReply<ifinfomsg, IFLA_MAX>;

nlattr* nested(const nlattr* outer, int attribute, int max) {
  std::vector<nlattr*> attributes(static_cast<size_t>(max) + 1);
  if (!outer || nla_parse_nested(attributes.data(), max, const_cast<nlattr*>(outer), nullptr) != 0)
    return nullptr;
  return attributes[static_cast<size_t>(attribute)];
}

// "veth", "macvlan", …; empty for hardware.
std::string kind_of(const LinkReply& link) {
  const nlattr* kind = nested(link.attribute(IFLA_LINKINFO), IFLA_INFO_KIND, IFLA_INFO_MAX);
  const auto* text = kind ? static_cast<const char*>(nla_data(kind)) : "";
  return {text, kind ? strnlen(text, static_cast<size_t>(nla_len(kind))) : 0};
}

bool ipv6_disabled(const LinkReply& link) {
  const nlattr* ipv6 = nested(link.attribute(IFLA_AF_SPEC), AF_INET6, AF_INET6);
  const nlattr* values = nested(ipv6, IFLA_INET6_CONF, IFLA_INET6_MAX);
  constexpr size_t kAt = DEVCONF_DISABLE_IPV6 * sizeof(int32_t);
  if (!values || static_cast<size_t>(nla_len(values)) < kAt + sizeof(int32_t)) return false;
  int32_t disabled = 0;
  memcpy(&disabled, static_cast<const char*>(nla_data(values)) + kAt, sizeof disabled);
  return disabled != 0;
}

// What comes in for it is found behind the parent's IP stack, where no redirect sees it (l3s alone).
bool comes_behind_ip(const LinkReply& link, const std::string& kind) {
  if (kind != "ipvlan") return false;
  const nlattr* data = nested(link.attribute(IFLA_LINKINFO), IFLA_INFO_DATA, IFLA_INFO_MAX);
  const nlattr* mode = nested(data, IFLA_IPVLAN_MODE, IFLA_IPVLAN_MAX);
  return mode && nla_len(mode) >= 2 && nla_get_u16(mode) == IPVLAN_MODE_L3S;
}

// The index of the interface below it, if that is in this namespace; 0: none.
int lower_link(const LinkReply& link, const std::string& kind) {
  // A veth's is its peer.
  if (kind == "veth" || link.attribute(IFLA_LINK_NETNSID)) return 0;
  const auto lower = static_cast<int>(link.u32(IFLA_LINK));
  return lower == link.header().ifi_index ? 0 : lower;
}

std::string refusal_of(const LinkReply& link, const std::string& kind,
                       const std::map<int, std::string>& names) {
  const std::string what = kind.empty() ? "" : " (" + printable(kind, 32) + ")";
  if (link.header().ifi_type != ARPHRD_ETHER) return "it carries no Ethernet frames" + what;
  if (const auto lower = names.find(lower_link(link, kind)); lower != names.end())
    return "its frames come through " + printable(lower->second) +
           ", which is in the same network namespace" + what;
  if (comes_behind_ip(link, kind))
    return "what comes in for it passes the host's IP stack, not the interface (ipvlan, mode l3s)";
  return "";
}

Interfaces read_links(NetlinkSocket& socket) {
  auto replies = socket.dump(RTM_GETLINK, AF_UNSPEC);
  std::map<int, std::string> names;
  for (auto& bytes : replies) {
    const LinkReply link(bytes);
    const void* name = link.valid() ? link.data(IFLA_IFNAME, 2) : nullptr;
    if (name) names[link.header().ifi_index] = static_cast<const char*>(name);
  }
  Interfaces interfaces;
  for (auto& bytes : replies) {
    const LinkReply link(bytes);
    if (!link.valid() || !names.count(link.header().ifi_index)) continue;
    if (!(link.header().ifi_flags & IFF_UP) || (link.header().ifi_flags & IFF_LOOPBACK)) continue;
    const std::string kind = kind_of(link);
    Interface interface;
    interface.index = link.header().ifi_index;
    interface.name = names[interface.index];
    if (is_own_tap(interface.name)) continue;  // of an earlier splice
    if (names.count(static_cast<int>(link.u32(IFLA_MASTER)))) continue;
    interface.refusal = refusal_of(link, kind, names);
    const void* mac = link.data(IFLA_ADDRESS, 6);
    if (mac) interface.mac = format_mac(static_cast<const uint8_t*>(mac));
    if (!mac && interface.refusal.empty()) continue;
    interface.mtu = link.u32(IFLA_MTU, 1500);
    interface.arp = !(link.header().ifi_flags & IFF_NOARP);
    interface.ipv6 = !ipv6_disabled(link);
    interface.shares_mac = kind == "ipvlan";
    interface.filters_multicast = kind == "macvlan" || kind == "ipvlan" || kind == "vlan";
    interfaces.emplace(interface.index, std::move(interface));
  }
  return interfaces;
}

void read_addresses(NetlinkSocket& socket, Interfaces& interfaces) {
  for (auto& bytes : socket.dump(RTM_GETADDR, AF_UNSPEC)) {
    const NetlinkReply<ifaddrmsg, IFA_MAX> reply(bytes);
    if (!reply.valid()) continue;
    const int family = reply.header().ifa_family;
    const auto interface = interfaces.find(static_cast<int>(reply.header().ifa_index));
    if (interface == interfaces.end() || (family != AF_INET && family != AF_INET6)) continue;
    const uint8_t prefix = reply.header().ifa_prefixlen;
    const auto address = ip_of(family, reply.data(IFA_ADDRESS, ip_size(family)), prefix);
    const auto local = ip_of(family, reply.data(IFA_LOCAL, ip_size(family)), prefix);
    if (!address) continue;
    // The guest's kernel makes its own link-local and temporary (privacy) addresses.
    if (family == AF_INET6 && ((address->is_link_local() && !interface->second.shares_mac) ||
                               (reply.header().ifa_flags & IFA_F_TEMPORARY)))
      continue;
    IpAddress own = local.value_or(*address);
    if (own == *address) {
      interface->second.addresses.push_back(format_cidr(own));
      continue;
    }
    // Point to point: the prefix is the peer's, and the kernel's route to it has to be asked for in the
    // guest.
    Route to_peer;
    to_peer.destination = format_cidr(*address);
    to_peer.scope = RT_SCOPE_LINK;
    to_peer.protocol = RTPROT_BOOT;
    to_peer.source = family == AF_INET ? format_ip(own) : "";
    to_peer.ipv6 = family == AF_INET6;
    interface->second.routes.push_back(std::move(to_peer));
    own.prefix = static_cast<uint8_t>(8 * own.size());
    interface->second.addresses.push_back(format_cidr(own));
  }
}

using RouteReply = NetlinkReply<rtmsg, RTA_MAX>;

bool leads_nowhere(unsigned type) {
  return type == RTN_BLACKHOLE || type == RTN_UNREACHABLE || type == RTN_PROHIBIT;
}

// Ours to carry over: routes of the main table which an engine made. The guest's kernel makes its own
// connected ones, and learns from the same router advertisements.
bool wanted(const RouteReply& reply) {
  const rtmsg& header = reply.header();
  if (header.rtm_family != AF_INET && header.rtm_family != AF_INET6) return false;
  if (header.rtm_type != RTN_UNICAST && !leads_nowhere(header.rtm_type)) return false;
  if (header.rtm_flags & RTM_F_CLONED) return false;
  if (reply.u32(RTA_TABLE, header.rtm_table) != RT_TABLE_MAIN) return false;
  return header.rtm_protocol != RTPROT_KERNEL && header.rtm_protocol != RTPROT_RA &&
         header.rtm_protocol != RTPROT_REDIRECT;
}

void set_gateway(Route& route, int family, const nlattr* gateway, const nlattr* via) {
  if (gateway && static_cast<size_t>(nla_len(gateway)) >= ip_size(family)) {
    route.gateway = format_ip(make_ip(family, nla_data(gateway), 0));
  } else if (via && static_cast<size_t>(nla_len(via)) >= sizeof(rtvia) + 16) {
    const auto* hop = static_cast<const rtvia*>(nla_data(via));
    if (hop->rtvia_family == AF_INET6) route.gateway = format_ip(make_ip(AF_INET6, hop->rtvia_addr, 0));
  }
}

// Several next hops: of each interface the first one, since a virtual card has but one way out of it anyway.
void add_hops(Interfaces& interfaces, const Route& route, int family, const nlattr* multipath) {
  std::map<int, bool> seen;
  const auto* hop = static_cast<const rtnexthop*>(nla_data(multipath));
  for (int left = nla_len(multipath); RTNH_OK(hop, left);
       left -= static_cast<int>(RTNH_ALIGN(hop->rtnh_len)), hop = RTNH_NEXT(hop)) {
    const auto interface = interfaces.find(hop->rtnh_ifindex);
    if (interface == interfaces.end()) continue;
    if (seen[hop->rtnh_ifindex]) {
      spdlog::warn("{}: of the route to {} only the first next hop is kept", interface->second.name,
                   route.destination.empty() ? "default" : route.destination);
      continue;
    }
    seen[hop->rtnh_ifindex] = true;
    nlattr* attributes[RTA_MAX + 1] = {};
    nla_parse(attributes, RTA_MAX, reinterpret_cast<nlattr*>(RTNH_DATA(hop)),
              hop->rtnh_len - static_cast<int>(sizeof(*hop)), nullptr);
    Route single = route;
    single.flags = hop->rtnh_flags & RTNH_F_ONLINK;
    set_gateway(single, family, attributes[RTA_GATEWAY], attributes[RTA_VIA]);
    interface->second.routes.push_back(std::move(single));
  }
}

void read_routes(NetlinkSocket& socket, Interfaces& interfaces) {
  for (auto& bytes : socket.dump(RTM_GETROUTE, AF_UNSPEC)) {
    const RouteReply reply(bytes);
    if (!reply.valid() || !wanted(reply)) continue;
    const rtmsg& header = reply.header();
    const int family = header.rtm_family;
    Route route;
    route.ipv6 = family == AF_INET6;
    route.metric = reply.u32(RTA_PRIORITY);
    route.scope = header.rtm_scope;
    route.protocol = header.rtm_protocol;
    route.type = header.rtm_type;
    route.flags = header.rtm_flags & RTNH_F_ONLINK;
    if (header.rtm_dst_len > 0)
      if (const auto to = ip_of(family, reply.data(RTA_DST, ip_size(family)), header.rtm_dst_len))
        route.destination = format_cidr(*to);
    if (const auto from = ip_of(family, reply.data(RTA_PREFSRC, ip_size(family)), 0))
      route.source = format_ip(*from);
    if (const nlattr* metrics = reply.attribute(RTA_METRICS)) {
      nlattr* values[RTAX_MAX + 1] = {};
      nla_parse_nested(values, RTAX_MAX, const_cast<nlattr*>(metrics), nullptr);
      if (values[RTAX_MTU] && nla_len(values[RTAX_MTU]) >= 4) route.mtu = nla_get_u32(values[RTAX_MTU]);
    }
    if (reply.attribute(RTA_MULTIPATH)) {
      add_hops(interfaces, route, family, reply.attribute(RTA_MULTIPATH));
      continue;
    }
    const auto interface = leads_nowhere(route.type) ? interfaces.begin()
                                                     : interfaces.find(static_cast<int>(reply.u32(RTA_OIF)));
    if (interface == interfaces.end()) continue;
    set_gateway(route, family, reply.attribute(RTA_GATEWAY), reply.attribute(RTA_VIA));
    interface->second.routes.push_back(std::move(route));
  }
}

void read_neighbors(NetlinkSocket& socket, Interfaces& interfaces) {
  for (auto& bytes : socket.dump(RTM_GETNEIGH, AF_UNSPEC)) {
    const NetlinkReply<ndmsg, NDA_MAX> reply(bytes);
    if (!reply.valid()) continue;
    const ndmsg& header = reply.header();
    if (header.ndm_family != AF_INET && header.ndm_family != AF_INET6) continue;
    if (!(header.ndm_state & NUD_PERMANENT) || (header.ndm_flags & NTF_PROXY)) continue;
    const auto interface = interfaces.find(header.ndm_ifindex);
    const auto address = ip_of(header.ndm_family, reply.data(NDA_DST, ip_size(header.ndm_family)), 0);
    const void* mac = reply.data(NDA_LLADDR, 6);
    if (interface == interfaces.end() || !address || !mac) continue;
    interface->second.neighbors.push_back(
        {format_ip(*address), format_mac(static_cast<const uint8_t*>(mac))});
  }
}

}  // namespace

bool is_own_tap(std::string_view name) {
  constexpr std::string_view kPrefix = "husk";
  return name.starts_with(kPrefix) && name.size() > kPrefix.size() &&
         name.find_first_not_of("0123456789", kPrefix.size()) == std::string_view::npos;
}

std::vector<Interface> scan_interfaces() {
  NetlinkSocket socket;
  Interfaces interfaces = read_links(socket);
  read_addresses(socket, interfaces);
  read_routes(socket, interfaces);
  read_neighbors(socket, interfaces);
  std::vector<Interface> result;
  for (auto& [index, interface] : interfaces) result.push_back(std::move(interface));
  return result;
}

}  // namespace husk
