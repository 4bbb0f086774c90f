#include "agent/guest/network.h"

#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <strings.h>

#include <exception>
#include <filesystem>
#include <thread>

#include "agent/guest/uevents.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/linux/netlink_socket.h"

namespace husk::guest {
namespace {

// The kernel's name of the card with this address, or empty.
std::string card_name(const std::string& mac) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/net", error)) {
    try {
      std::string address = read_file(entry.path() / "address");
      if (!address.empty() && address.back() == '\n') address.pop_back();
      if (strcasecmp(address.c_str(), mac.c_str()) == 0) return entry.path().filename();
    } catch (const Error&) {
      // gone while we looked
    }
  }
  return "";
}

// Under a name that nothing there has: in both namespaces there may be an eth0.
void move_card(const std::string& name, const std::string& new_name, int netns) {
  ifinfomsg header{};
  header.ifi_index = static_cast<int>(if_nametoindex(name.c_str()));
  NetlinkMessage message(RTM_NEWLINK, 0, header);
  message.put(IFLA_NET_NS_FD, static_cast<uint32_t>(netns));
  message.put(IFLA_IFNAME, new_name);
  NetlinkSocket().request(message, "moving it to its network namespace");
}

void configure_in(int netns, const Interface& interface) {
  if (netns < 0) return configure_interface(interface);
  std::exception_ptr failure;
  std::thread([&] {
    try {
      check(setns(netns, CLONE_NEWNET), "entering the network namespace");
      configure_interface(interface);
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

void configure_network(int netns, const std::vector<Interface>& interfaces) {
  for (const Interface& interface : interfaces)
    with_context("interface " + printable(interface.name), [&] {
      std::string name;
      wait_for_device("a card with address " + printable(interface.mac),
                      [&] { return !(name = card_name(interface.mac)).empty(); });
      if (netns >= 0) move_card(name, "huskcard" + std::to_string(if_nametoindex(name.c_str())), netns);
      configure_in(netns, interface);
    });
}

}  // namespace husk::guest
