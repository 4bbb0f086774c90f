#include "vm/net/host_end.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <string>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/netlink_address.h"
#include "vm/net/host_end_filters.h"

namespace husk::vm {
namespace {

constexpr uint32_t kTable = 0x6875;  // of routing: husk's mark, as in traffic_control.cc
constexpr uint32_t kBeforeAll = 0;   // the priority of the kernel's own rule for the local table
constexpr unsigned kFirstBlock = 104, kBlocks = 8;  // 169.254.104.0/24, and the next ones
constexpr const char* kAllBlocks = "169.254.104.0/21";
constexpr unsigned kMaxTaps = 120;  // two addresses of a block each

IpAddress loopback() {
  return parse_ip("127.0.0.1");
}

// The tap's address, and the one after it, which stands for the guest as the next hop of its addresses: it
// never appears in a packet.
struct Addresses {
  IpAddress own, guest;
};

Addresses addresses_from(const IpAddress& own) {
  Addresses addresses{own, own};
  ++addresses.guest.bytes[3];
  return addresses;
}

bool mentions(const Interface& interface, const std::string& block) {
  const auto in_block = [&](const std::string& text) { return text.starts_with(block); };
  return std::ranges::any_of(interface.addresses, in_block) ||
         std::ranges::any_of(interface.neighbors, in_block, &Neighbor::address) ||
         std::ranges::any_of(interface.routes,
                             [&](const Route& r) { return in_block(r.destination) || in_block(r.gateway); });
}

Addresses choose(const Tap& tap, const std::vector<Interface>& all) {
  unsigned number = 0;
  const char* digits = tap.name.c_str() + std::string_view("husk").size();
  std::from_chars(digits, tap.name.c_str() + tap.name.size(), number);
  for (unsigned i = kFirstBlock; i < kFirstBlock + kBlocks && number < kMaxTaps; ++i) {
    const std::string block = fmt::format("169.254.{}.", i);
    if (std::ranges::none_of(all, [&](const Interface& interface) { return mentions(interface, block); }))
      return addresses_from(parse_ip(block + std::to_string(2 + 2 * number)));
  }
  throw Error(ErrorKind::kUnsupported, "no link-local address is free");
}

NetlinkMessage route(int type, int flags, int tap, const IpAddress& to, uint8_t kind, uint32_t table) {
  rtmsg header{};
  header.rtm_family = AF_INET;
  header.rtm_dst_len = 32;
  header.rtm_protocol = RTPROT_BOOT;
  header.rtm_type = kind;
  header.rtm_scope = kind == RTN_LOCAL ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
  header.rtm_flags = kind == RTN_LOCAL ? 0 : RTNH_F_ONLINK;
  NetlinkMessage message(type, flags, header);
  message.put(RTA_TABLE, table);
  message.put(RTA_DST, to.bytes.data(), to.size());
  message.put(RTA_OIF, static_cast<uint32_t>(tap));
  return message;
}

// The same address may be reached through another card, too: the oldest one's turn is first.
NetlinkMessage guest_route(int type, int flags, int tap, const Addresses& via, const IpAddress& to) {
  NetlinkMessage message = route(type, flags, tap, to, RTN_UNICAST, kTable);
  message.put(RTA_GATEWAY, via.guest.bytes.data(), via.guest.size());
  message.put(RTA_PREFSRC, via.own.bytes.data(), via.own.size());
  message.put(RTA_PRIORITY, static_cast<uint32_t>(tap));
  return message;
}

// Without an address on the tap: engines look at those.
void add_own_address(NetlinkSocket& socket, const Tap& tap, const Addresses& addresses) {
  socket.request(route(RTM_NEWROUTE, NLM_F_CREATE, tap.index, addresses.own, RTN_LOCAL, RT_TABLE_LOCAL),
                 "add the host's end's address");
}

void add_guest(NetlinkSocket& socket, const Tap& tap, const IpAddress& guest, const MacAddress& mac) {
  ndmsg header{};
  header.ndm_family = AF_INET;
  header.ndm_ifindex = tap.index;
  header.ndm_state = NUD_PERMANENT;
  NetlinkMessage message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, header);
  message.put(NDA_DST, guest.bytes.data(), guest.size());
  message.put(NDA_LLADDR, mac.data(), mac.size());
  socket.request(message, "add the guest as a neighbor");
}

void add_guest_route(NetlinkSocket& socket, int tap, const Addresses& via, const IpAddress& to) {
  const int errnum = socket.try_request(guest_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, tap, via, to));
  // ENODEV: the VM has just ended.
  if (errnum != 0 && errnum != EEXIST && errnum != ENODEV) socket.fail("add a route to the guest", errnum);
}

// Answers from the guest's loopback are welcome there; nothing else than from where the routes lead to.
void allow_loopback(NetlinkSocket& socket, const Tap& tap) {
  ifinfomsg header{};
  header.ifi_index = tap.index;
  NetlinkMessage message(RTM_NEWLINK, 0, header);
  message.nest(IFLA_AF_SPEC, [&] {
    message.nest(AF_INET, [&] {
      message.nest(IFLA_INET_CONF, [&] {
        message.put(IPV4_DEVCONF_ROUTE_LOCALNET, uint32_t{1});
        message.put(IPV4_DEVCONF_RP_FILTER, uint32_t{1});
      });
    });
  });
  socket.request(message, "set up the tap for loopback addresses");
}

NetlinkMessage rule(int type, int flags, uint32_t table, const IpAddress* from = nullptr) {
  fib_rule_hdr header{};
  header.family = AF_INET;
  header.action = FR_ACT_TO_TBL;
  header.src_len = from ? from->prefix : 0;
  NetlinkMessage message(type, flags, header);
  message.put(FRA_PRIORITY, kBeforeAll);
  message.put(FRA_TABLE, table);
  if (!from) return message;
  message.put(FRA_SRC, from->bytes.data(), from->size());
  message.put(FRA_IIFNAME, std::string("lo"));  // what this namespace's own sockets send
  return message;
}

// Sockets that have no source yet, and what then has one of ours. A server there that answers 127.0.0.1
// (Docker's DNS) has a source, and its client here.
std::array<IpAddress, 2> rule_sources() {
  return {parse_cidr("0.0.0.0/32"), parse_cidr(kAllBlocks)};
}

// Of two rules of one priority the older one is asked first: so the kernel's own is made anew behind ours. It
// is the same afterwards, and stays when ours go. What comes from outside still finds the local table only.
void ask_own_table_first(NetlinkSocket& socket) {
  bool added = false;
  for (const IpAddress& from : rule_sources()) {
    const int errnum = socket.try_request(rule(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, kTable, &from));
    if (errnum != 0 && errnum != EEXIST) socket.fail("add a rule for routes to the guest", errnum);
    added |= errnum == 0;
  }
  if (!added) return;
  NetlinkMessage again = rule(RTM_NEWRULE, NLM_F_CREATE, RT_TABLE_LOCAL);
  const uint8_t protocol = RTPROT_KERNEL;
  again.put(FRA_PROTOCOL, &protocol, sizeof protocol);
  socket.request(again, "add a rule for the local table");
  socket.request(rule(RTM_DELRULE, 0, RT_TABLE_LOCAL), "remove the older rule for the local table");
}

template <typename F>
void for_each_ipv4(const Interface& interface, F&& f) {
  for (const std::string& cidr : interface.addresses)
    if (IpAddress address = parse_cidr(cidr); address.family == AF_INET) {
      address.prefix = 32;
      f(address);
    }
}

void connect(NetlinkSocket& socket, const Tap& tap, Interface& interface, const Addresses& addresses) {
  // First what keeps others out.
  drop_loopback(socket, interface.index, addresses.own);
  pass_answers(socket, tap.index, addresses.own);
  allow_loopback(socket, tap);
  add_own_address(socket, tap, addresses);
  add_guest(socket, tap, addresses.guest, parse_mac(interface.mac));
  for_each_ipv4(interface, [&](const IpAddress& to) { add_guest_route(socket, tap.index, addresses, to); });
  add_guest_route(socket, tap.index, addresses, loopback());
  ask_own_table_first(socket);
  interface.host_end = Neighbor{format_ip(addresses.own), tap.mac};
}

}  // namespace

void connect_host_end(NetlinkSocket& socket, const Tap& tap, Interface& interface,
                      const std::vector<Interface>& all) {
  interface.tap = tap.index;
  try {
    connect(socket, tap, interface, choose(tap, all));
  } catch (const Error& e) {
    spdlog::warn("{}: processes of the host in the network namespace cannot connect to the container: {}",
                 interface.name, e.what());
  }
}

void update_host_end(NetlinkSocket& socket, const Interface& before, const Interface& now) noexcept {
  if (!now.host_end) return;
  try {
    const Addresses via = addresses_from(parse_ip(now.host_end->address));
    std::vector<IpAddress> gone;
    for_each_ipv4(before, [&](const IpAddress& address) { gone.push_back(address); });
    for_each_ipv4(now, [&](const IpAddress& address) {
      std::erase(gone, address);
      add_guest_route(socket, now.tap, via, address);
    });
    for (const IpAddress& address : gone)
      (void)socket.try_request(guest_route(RTM_DELROUTE, 0, now.tap, via, address));
  } catch (const std::exception& e) {
    spdlog::warn("{}: {}", now.name, e.what());
  }
}

void disconnect_host_end(NetlinkSocket& socket, const Interface& interface) {
  if (interface.tap == 0) return;
  ifinfomsg header{};
  header.ifi_index = interface.tap;
  header.ifi_change = IFF_UP;
  // Routes go with it. That it has gone is fine.
  (void)socket.try_request(NetlinkMessage(RTM_NEWLINK, 0, header));
}

void forget_host_end(NetlinkSocket& socket) {
  for (auto& bytes : socket.dump(RTM_GETROUTE, AF_INET)) {
    const NetlinkReply<rtmsg, RTA_MAX> route(bytes);
    if (route.valid() && route.u32(RTA_TABLE, route.header().rtm_table) == kTable) return;  // another VM's
  }
  for (const IpAddress& from : rule_sources()) (void)socket.try_request(rule(RTM_DELRULE, 0, kTable, &from));
}

}  // namespace husk::vm
