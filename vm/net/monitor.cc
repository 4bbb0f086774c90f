#include "vm/net/monitor.h"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/netlink.h"
#include "libcontainer/linux/netlink_socket.h"
#include "libcontainer/linux/network_namespace.h"

namespace husk::vm {
namespace {

constexpr unsigned kLoopback = 1;      // lo's index in every namespace
constexpr size_t kBuffer = 32u << 10;  // what the kernel puts into one datagram at most (NLMSG_GOODSIZE)

bool concerns_link(std::vector<char>& bytes) {
  const NetlinkReply<ifinfomsg, IFLA_MAX> link(bytes);
  if (!link.valid()) return false;
  const void* name = link.data(IFLA_IFNAME, 2);
  return link.header().ifi_index != kLoopback && !(name && is_own_tap(static_cast<const char*>(name)));
}

bool concerns_route(std::vector<char>& bytes) {
  const NetlinkReply<rtmsg, RTA_MAX> route(bytes);
  if (!route.valid()) return false;
  if (route.u32(RTA_TABLE, route.header().rtm_table) != RT_TABLE_MAIN) return false;
  return route.header().rtm_protocol != RTPROT_KERNEL && !(route.header().rtm_flags & RTM_F_CLONED);
}

bool concerns(std::vector<char>& bytes) {
  switch (reinterpret_cast<const nlmsghdr*>(bytes.data())->nlmsg_type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return concerns_link(bytes);
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      const NetlinkReply<ifaddrmsg, IFA_MAX> address(bytes);
      return address.valid() && address.header().ifa_index != kLoopback;
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return concerns_route(bytes);
    default:
      return false;
  }
}

}  // namespace

UniqueFd open_network_monitor(int netns_fd) {
  UniqueFd monitor;
  in_network_namespace(netns_fd, [&] {
    monitor = UniqueFd(check(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE),
                             "open an rtnetlink socket"));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    address.nl_groups =
        RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
    check(bind(monitor.get(), reinterpret_cast<sockaddr*>(&address), sizeof address),
          "listen to rtnetlink's groups");
  });
  return monitor;
}

bool network_changed(int monitor) {
  bool changed = false;
  std::vector<char> buffer(kBuffer);
  for (;;) {
    const ssize_t n = recv(monitor, buffer.data(), buffer.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == ENOBUFS) {  // more news than the socket holds: some are lost
      changed = true;
      continue;
    }
    if (n <= 0) return changed;
    auto left = static_cast<int>(n);
    for (auto* m = reinterpret_cast<nlmsghdr*>(buffer.data()); nlmsg_ok(m, left); m = nlmsg_next(m, &left)) {
      const char* bytes = reinterpret_cast<const char*>(m);
      std::vector<char> message(bytes, bytes + m->nlmsg_len);
      changed |= concerns(message);
    }
  }
}

}  // namespace husk::vm
