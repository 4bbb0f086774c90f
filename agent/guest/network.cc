#include "agent/guest/network.h"

#include <linux/rtnetlink.h>
#include <net/if.h>

#include <functional>

#include "agent/guest/parking.h"
#include "agent/guest/pci.h"
#include "agent/guest/uevents.h"
#include "libcontainer/base/error.h"
#include "libcontainer/linux/netlink_socket.h"
#include "libcontainer/linux/network_namespace.h"

namespace husk::guest {
namespace {

void in_namespace(int netns, const std::function<void()>& f) {
  if (netns < 0)
    f();
  else
    in_network_namespace(netns, f);
}

// Under a name that nothing there has: in both namespaces there may be an eth0.
std::string move_card(const std::string& name, int netns) {
  const unsigned index = if_nametoindex(name.c_str());
  std::string new_name = "huskcard" + std::to_string(index);
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(index);
  NetlinkMessage message(RTM_NEWLINK, 0, header);
  message.put(IFLA_NET_NS_FD, static_cast<uint32_t>(netns));
  message.put(IFLA_IFNAME, new_name);
  NetlinkSocket().request(message, "moving it to its network namespace");
  return new_name;
}

std::string name_of(int index) {
  char name[IF_NAMESIZE];
  if (!if_indextoname(static_cast<unsigned>(index), name))
    throw Error(ErrorKind::kNotFound, "the container has taken it away", ENODEV);
  return name;
}

}  // namespace

void Network::configure(int netns, const std::vector<Card>& cards) {
  std::lock_guard lock(mutex_);
  for (const Card& card : cards)
    with_context("interface " + printable(card.interface.name), [&] {
      auto place = places_.find(card.port);
      if (place != places_.end())
        return in_namespace(place->second.netns, [&] {
          reconfigure_interface(card.before.value_or(card.interface), card.interface,
                                name_of(place->second.index));
        });
      const std::string known = unpark_in(card.port);
      if (known.empty()) Slot(card.port).set_power(true);
      std::string name;
      wait_for_device("a card in port " + card.port, [&] {
        name = known.empty() ? card_in_port(card.port) : card_of(known);
        return !name.empty();
      });
      if (netns >= 0) name = move_card(name, netns);
      in_namespace(netns, [&] {
        places_[card.port] = {netns, static_cast<int>(if_nametoindex(name.c_str()))};
        configure_interface(card.interface, name);
      });
    });
}

void Network::unplug(const std::string& port) {
  std::lock_guard lock(mutex_);
  places_.erase(port);
  eject(port);
}

}  // namespace husk::guest
