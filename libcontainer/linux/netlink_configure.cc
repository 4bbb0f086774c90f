// Writing: what the guest does with its network card, so that it looks like the interface on the host.
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/file.h"
#include "libcontainer/linux/netlink.h"
#include "libcontainer/linux/netlink_address.h"
#include "libcontainer/linux/netlink_socket.h"

namespace husk {
namespace {

struct Link {
  int index = 0;
  std::string name, mac;
  uint32_t mtu = 0;
};

// By ioctls: to ask rtnetlink for one is to have all that it knows of it written and read, which is much code
// to an emulated guest.
std::optional<Link> link_named(const std::string& name) {
  ifreq request{};
  if (name.empty() || name.size() >= sizeof request.ifr_name) return std::nullopt;
  name.copy(request.ifr_name, sizeof request.ifr_name - 1);
  const UniqueFd socket(check(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
  if (ioctl(socket.get(), SIOCGIFHWADDR, &request) != 0 || request.ifr_hwaddr.sa_family != ARPHRD_ETHER)
    return std::nullopt;
  Link link{0, name, format_mac(reinterpret_cast<const uint8_t*>(request.ifr_hwaddr.sa_data))};
  if (ioctl(socket.get(), SIOCGIFMTU, &request) != 0) return std::nullopt;
  link.mtu = static_cast<uint32_t>(request.ifr_mtu);
  if (ioctl(socket.get(), SIOCGIFINDEX, &request) != 0) return std::nullopt;
  link.index = request.ifr_ifindex;
  return link;
}

std::vector<Link> list_links(NetlinkSocket& socket) {
  std::vector<Link> links;
  for (auto& bytes : socket.dump(RTM_GETLINK, AF_UNSPEC)) {
    const NetlinkReply<ifinfomsg, IFLA_MAX> reply(bytes);
    if (!reply.valid() || reply.header().ifi_type != ARPHRD_ETHER) continue;
    const void* name = reply.data(IFLA_IFNAME, 2);
    const void* mac = reply.data(IFLA_ADDRESS, 6);
    if (name && mac)
      links.push_back({reply.header().ifi_index, static_cast<const char*>(name),
                       format_mac(static_cast<const uint8_t*>(mac)), reply.u32(IFLA_MTU)});
  }
  return links;
}

// By MAC, preferring the one that has its name already (ipvlan interfaces share their MAC).
Link find_link(const std::vector<Link>& links, const Interface& interface, const std::string& mac) {
  auto found =
      std::ranges::find_if(links, [&](const Link& l) { return l.mac == mac && l.name == interface.name; });
  if (found == links.end()) found = std::ranges::find(links, mac, &Link::mac);
  if (found == links.end())
    throw Error(ErrorKind::kNotFound, "no interface has the MAC address " + mac, ENODEV);
  return *found;
}

NetlinkMessage link_change(int index, unsigned change = 0, unsigned flags = 0) {
  ifinfomsg header{};
  header.ifi_index = index;
  header.ifi_change = change;
  header.ifi_flags = flags;
  return NetlinkMessage(RTM_NEWLINK, 0, header);
}

void rename(NetlinkSocket& socket, int index, const std::string& name) {
  // Only an interface that is down can be renamed by every kernel; the routes it loses are set afterwards.
  socket.request(link_change(index, IFF_UP, 0), "bring it down to rename it");
  NetlinkMessage message = link_change(index);
  message.put(IFLA_IFNAME, name);
  socket.request(message, "rename to " + name);
}

// Two cards may come up with one another's names.
void free_name(NetlinkSocket& socket, const std::string& name) {
  const std::vector<Link> links = list_links(socket);
  const auto holder = std::ranges::find(links, name, &Link::name);
  if (holder == links.end()) return;
  for (int n = 0;; ++n) {
    const std::string other = "huskold" + std::to_string(n);
    if (std::ranges::find(links, other, &Link::name) == links.end())
      return rename(socket, holder->index, other);
  }
}

void set_link(NetlinkSocket& socket, const Link& link, const MacAddress& mac, const std::string& mac_text,
              const Interface& interface) {
  if (link.mac != mac_text) {
    NetlinkMessage message = link_change(link.index);
    message.put(IFLA_ADDRESS, mac.data(), mac.size());
    socket.request(message, "set the MAC address " + mac_text);
  }
  if (link.mtu != interface.mtu) {
    NetlinkMessage message = link_change(link.index);
    message.put(IFLA_MTU, interface.mtu);
    socket.request(message, "set MTU " + std::to_string(interface.mtu));
  }
  const unsigned flags = IFF_UP | (interface.arp ? 0 : IFF_NOARP);
  socket.request(link_change(link.index, IFF_UP | IFF_NOARP, flags), "bring it up");
}

// A kernel without IPv6 has nothing to disable.
void set_ipv6(const std::string& name, bool enabled) {
  // An interface may be called as the kernel calls all of them.
  const std::string folder = "/proc/sys/net/ipv6/conf/" + name;
  if (name == "all" || name == "default" || !path_exists(folder)) return;
  write_file(folder + "/disable_ipv6", enabled ? "0" : "1");
}

NetlinkMessage address_message(int type, int flags, int index, const std::string& cidr) {
  const IpAddress address = parse_cidr(cidr);
  const bool ipv6 = address.family == AF_INET6;
  ifaddrmsg header{};
  header.ifa_family = static_cast<uint8_t>(address.family);
  header.ifa_prefixlen = address.prefix;
  header.ifa_index = static_cast<unsigned>(index);
  header.ifa_scope = address.is_link_local() ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  // The address was the container's before: waiting a second for duplicates would only make its first
  // connections fail.
  header.ifa_flags = ipv6 ? IFA_F_NODAD : 0;
  NetlinkMessage message(type, flags, header);
  message.put(IFA_LOCAL, address.bytes.data(), address.size());
  message.put(IFA_ADDRESS, address.bytes.data(), address.size());
  if (!ipv6 && address.prefix < 31) {
    auto broadcast = address.bytes;
    for (unsigned bit = address.prefix; bit < 32; ++bit)
      broadcast[bit / 8] = static_cast<uint8_t>(broadcast[bit / 8] | 0x80u >> bit % 8);
    message.put(IFA_BROADCAST, broadcast.data(), 4);
  }
  return message;
}

void add_address(NetlinkSocket& socket, int index, const std::string& cidr) {
  socket.request(address_message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, index, cidr),
                 "add address " + cidr);
}

NetlinkMessage neighbor_message(int type, int flags, int index, const Neighbor& neighbor) {
  const IpAddress address = parse_ip(neighbor.address);
  const MacAddress mac = parse_mac(neighbor.mac);
  ndmsg header{};
  header.ndm_family = static_cast<uint8_t>(address.family);
  header.ndm_ifindex = index;
  header.ndm_state = NUD_PERMANENT;
  NetlinkMessage message(type, flags, header);
  message.put(NDA_DST, address.bytes.data(), address.size());
  message.put(NDA_LLADDR, mac.data(), mac.size());
  return message;
}

void add_neighbor(NetlinkSocket& socket, int index, const Neighbor& neighbor) {
  socket.request(neighbor_message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, index, neighbor),
                 "add neighbor " + neighbor.address);
}

void put_gateway(NetlinkMessage& message, const Route& route) {
  const IpAddress gateway = parse_ip(route.gateway);
  if ((gateway.family == AF_INET6) == route.ipv6)
    return message.put(RTA_GATEWAY, gateway.bytes.data(), gateway.size());
  struct {
    uint16_t family;  // rtvia, whose flexible array member C++ has no word for
    uint8_t address[16];
  } via{static_cast<uint16_t>(gateway.family), {}};
  std::ranges::copy(gateway.bytes, via.address);
  message.put(RTA_VIA, &via, sizeof(via));
}

NetlinkMessage route_message(int type, int flags, int index, const Route& route,
                             uint8_t table = RT_TABLE_MAIN) {
  rtmsg header{};
  header.rtm_family = route.ipv6 ? AF_INET6 : AF_INET;
  header.rtm_table = table;
  header.rtm_protocol = static_cast<uint8_t>(route.protocol ? route.protocol : RTPROT_BOOT);
  header.rtm_scope = static_cast<uint8_t>(route.scope);
  header.rtm_type = static_cast<uint8_t>(route.type);
  header.rtm_flags = route.flags & RTNH_F_ONLINK;
  IpAddress to;
  if (!route.destination.empty()) to = parse_cidr(route.destination);
  header.rtm_dst_len = to.prefix;
  const bool leads_somewhere = route.type == RTN_UNICAST;
  NetlinkMessage message(type, flags, header);
  if (to.prefix) message.put(RTA_DST, to.bytes.data(), to.size());
  if (leads_somewhere) message.put(RTA_OIF, static_cast<uint32_t>(index));
  if (!route.gateway.empty()) put_gateway(message, route);
  if (!route.source.empty()) {
    const IpAddress source = parse_ip(route.source);
    message.put(RTA_PREFSRC, source.bytes.data(), source.size());
  }
  if (route.metric) message.put(RTA_PRIORITY, route.metric);
  if (route.mtu) message.nest(RTA_METRICS, [&] { message.put(RTAX_MTU, route.mtu); });
  return message;
}

void add_route(NetlinkSocket& socket, int index, const Route& route, uint8_t table = RT_TABLE_MAIN) {
  // One of the same destination and metric may be another interface's, and stays.
  const NetlinkMessage message =
      route_message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_APPEND, index, route, table);
  // EEXIST: this one, from the first time.
  if (const int errnum = socket.try_request(message); errnum != 0 && errnum != EEXIST)
    socket.fail("add route to " + (route.destination.empty() ? "default" : route.destination) +
                    (route.gateway.empty() ? "" : " via " + route.gateway),
                errnum);
}

// What only `before` has. The kernel may have taken it away already, a route with its address, say; the rest
// is told.
template <typename T, typename F>
void take_away(NetlinkSocket& socket, const std::vector<T>& before, const std::vector<T>& now, F&& message) {
  for (const T& item : before)
    if (std::ranges::find(now, item) == now.end())
      if (const int errnum = socket.try_request(message(item));
          errnum != 0 && errnum != ESRCH && errnum != EADDRNOTAVAIL && errnum != ENOENT)
        socket.fail("take away what it does not have any more", errnum);
}

// What comes from there may be for the loopback: the host keeps out what others send to it. The route is in
// the local table, which is asked before any that the container makes, and is not among its routes.
void reach_host_end(NetlinkSocket& socket, int index, const Neighbor& host_end) {
  NetlinkMessage loopback = link_change(index);
  loopback.nest(IFLA_AF_SPEC, [&] {
    loopback.nest(AF_INET, [&] {
      loopback.nest(IFLA_INET_CONF, [&] { loopback.put(IPV4_DEVCONF_ROUTE_LOCALNET, uint32_t{1}); });
    });
  });
  socket.request(loopback, "let the host's end reach the loopback");
  add_neighbor(socket, index, host_end);
  Route route;
  route.destination = host_end.address + "/32";
  route.scope = RT_SCOPE_LINK;
  add_route(socket, index, route, RT_TABLE_LOCAL);
}

// ipv6: whether to tell the kernel of that.
void configure(const Interface& interface, const std::string& device, bool ipv6) {
  const MacAddress mac = parse_mac(interface.mac);
  const std::string mac_text = format_mac(mac.data());
  if (!valid_interface_name(interface.name)) throw Error(ErrorKind::kInvalid, "not an interface's name");
  NetlinkSocket socket;
  std::optional<Link> named = link_named(device);
  const Link link = named ? *std::move(named) : find_link(list_links(socket), interface, mac_text);
  if (link.name != interface.name) {
    free_name(socket, interface.name);
    rename(socket, link.index, interface.name);
  }
  if (interface.shares_mac) make_no_link_local(socket, link.index);
  if (ipv6) set_ipv6(interface.name, interface.ipv6);
  set_link(socket, link, mac, mac_text, interface);
  for (const std::string& address : interface.addresses) add_address(socket, link.index, address);
  for (const Neighbor& neighbor : interface.neighbors) add_neighbor(socket, link.index, neighbor);
  if (interface.host_end) reach_host_end(socket, link.index, *interface.host_end);
  // A gateway has to be reachable before the kernel takes a route through it.
  for (const bool gateway : {false, true})
    for (const Route& route : interface.routes)
      if (route.gateway.empty() != gateway) add_route(socket, link.index, route);
}

}  // namespace

void reconfigure_interface(const Interface& before, const Interface& interface, const std::string& device) {
  with_context("interface " + interface.name, [&] {
    NetlinkSocket socket;
    const std::optional<Link> link = link_named(device);
    if (!link) throw Error(ErrorKind::kNotFound, "there is no " + device, ENODEV);
    const int index = link->index;
    take_away(socket, before.routes, interface.routes,
              [&](const Route& route) { return route_message(RTM_DELROUTE, 0, index, route); });
    take_away(socket, before.addresses, interface.addresses,
              [&](const std::string& cidr) { return address_message(RTM_DELADDR, 0, index, cidr); });
    take_away(socket, before.neighbors, interface.neighbors,
              [&](const Neighbor& n) { return neighbor_message(RTM_DELNEIGH, 0, index, n); });
    // What the container has set itself stays.
    configure(interface, device, interface.ipv6 != before.ipv6);
  });
}

void configure_interface(const Interface& interface, const std::string& device) {
  with_context("interface " + interface.name, [&] { configure(interface, device, !interface.ipv6); });
}

}  // namespace husk
