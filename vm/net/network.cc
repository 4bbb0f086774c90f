#include "vm/net/network.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/rtnetlink.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/netlink_socket.h"
#include "libcontainer/linux/network_namespace.h"
#include "vm/net/host_end.h"
#include "vm/net/tap.h"
#include "vm/net/traffic_control.h"

namespace husk::vm {
namespace {

// What the guest joins, the host does not know: all multicast has to come.
void hear_all_multicast(NetlinkSocket& socket, const Interface& interface, bool all) {
  ifinfomsg header{};
  header.ifi_index = interface.index;
  header.ifi_change = IFF_ALLMULTI;
  header.ifi_flags = all ? IFF_ALLMULTI : 0;
  const NetlinkMessage message(RTM_NEWLINK, 0, header);
  // Best effort either way: nothing but multicast depends on it, and the interface may have gone.
  (void)socket.try_request(message);
}

Endpoint splice_interface(NetlinkSocket& socket, Interface interface, const std::vector<Interface>& all) {
  if (!interface.refusal.empty()) throw Error(ErrorKind::kUnsupported, interface.refusal);
  const int index = interface.index;
  Tap tap = make_tap(socket, interface.mtu);
  add_ingress(socket, tap.index, tap.name);
  // The tap's direction first: nothing comes from it yet, so that the interface is cut off only when all else
  // is there.
  redirect_ingress(socket, tap.index, index);
  add_ingress(socket, index, interface.name);
  try {
    redirect_ingress(socket, index, tap.index);
  } catch (...) {
    remove_ingress(socket, index);
    throw;
  }
  if (interface.filters_multicast) hear_all_multicast(socket, interface, true);
  connect_host_end(socket, tap, interface, all);
  return {std::move(interface), std::move(tap.name), std::move(tap.fd)};
}

// That it has gone is fine.
void remove_from(NetlinkSocket& socket, const Interface& interface) noexcept {
  if (!interface.refusal.empty()) return;
  try {
    disconnect_host_end(socket, interface);
    if (interface.filters_multicast) hear_all_multicast(socket, interface, false);
    if (const int errnum = remove_ingress(socket, interface.index))
      spdlog::warn("removing the ingress qdisc of interface {}: {}", interface.name, strerror(errnum));
  } catch (const std::exception& e) {
    spdlog::warn("removing the ingress qdisc of interface {}: {}", interface.name, e.what());
  }
}

bool same_card(const Interface& a, const Interface& b) {
  return a.mac == b.mac && a.mtu == b.mtu && a.refusal == b.refusal;
}

const Interface* find(const std::vector<Interface>& interfaces, int index) {
  const auto found = std::ranges::find(interfaces, index, &Interface::index);
  return found == interfaces.end() ? nullptr : &*found;
}

Endpoint connect(NetlinkSocket& socket, const Interface& interface, const std::vector<Interface>& all) {
  return with_context("connecting interface " + interface.name + " to the VM",
                      [&] { return splice_interface(socket, interface, all); });
}

}  // namespace

std::vector<Endpoint> splice_namespace(int netns_fd) {
  std::vector<Endpoint> endpoints;
  in_network_namespace(netns_fd, [&] {
    set_link_up("lo");  // the engine may look at it
    NetlinkSocket socket;
    try {
      const std::vector<Interface> interfaces = scan_interfaces();
      endpoints.reserve(interfaces.size());  // nothing may fail between a splice and its entry here
      for (const Interface& interface : interfaces)
        endpoints.push_back(connect(socket, interface, interfaces));
    } catch (...) {
      // The taps end with their fds, which the caller never gets.
      for (const Endpoint& endpoint : endpoints) remove_from(socket, endpoint.interface);
      forget_host_end(socket);
      throw;
    }
  });
  return endpoints;
}

Changes update_splices(int netns_fd, const std::vector<Interface>& known) {
  Changes changes;
  in_network_namespace(netns_fd, [&] {
    NetlinkSocket socket;
    const std::vector<Interface> now = scan_interfaces();
    for (const Interface& old : known) {
      const Interface* same = find(now, old.index);
      if (same && same_card(*same, old)) {
        Interface changed = *same;
        changed.host_end = old.host_end;
        changed.tap = old.tap;
        if (changed == old) continue;
        update_host_end(socket, old, changed);
        changes.changed.push_back(std::move(changed));
      } else {
        remove_from(socket, old);  // it may be there, but down
        changes.gone.push_back(old);
      }
    }
    for (const Interface& interface : now) {
      const Interface* old = find(known, interface.index);
      if (old && same_card(*old, interface)) continue;
      try {
        changes.added.push_back(connect(socket, interface, now));
      } catch (const Error& e) {
        spdlog::warn("{}", e.what());
        changes.refused.push_back(interface);
      }
    }
  });
  return changes;
}

void unsplice(int netns_fd, const std::vector<Interface>& interfaces) noexcept {
  if (netns_fd < 0 || interfaces.empty()) return;
  try {
    in_network_namespace(netns_fd, [&] {
      NetlinkSocket socket;
      for (const Interface& interface : interfaces) remove_from(socket, interface);
      forget_host_end(socket);
    });
  } catch (const std::exception& e) {
    spdlog::warn("disconnecting the VM's network interfaces: {}", e.what());
  }
}

void unsplice_all(const std::string& netns_path) noexcept {
  try {
    UniqueFd netns = open_file(netns_path, O_RDONLY);
    in_network_namespace(netns.get(), [] {
      NetlinkSocket socket;
      for (const Interface& interface : scan_interfaces())
        if (interface.refusal.empty() && !redirects_to_tap(socket, interface.index))
          remove_from(socket, interface);
      forget_host_end(socket);
    });
  } catch (const std::exception& e) {
    spdlog::warn("disconnecting the interfaces in {}: {}", netns_path, e.what());
  }
}

}  // namespace husk::vm
