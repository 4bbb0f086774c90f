#include "agent/guest/network.h"

#include <strings.h>

#include <filesystem>

#include "agent/guest/uevents.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"

namespace husk::guest {
namespace {

bool has_card(const std::string& mac) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/class/net", error)) {
    try {
      std::string address = read_file(entry.path() / "address");
      if (!address.empty() && address.back() == '\n') address.pop_back();
      if (strcasecmp(address.c_str(), mac.c_str()) == 0) return true;
    } catch (const Error&) {
      // gone while we looked
    }
  }
  return false;
}

}  // namespace

void configure_network(const std::vector<Interface>& interfaces) {
  for (const Interface& interface : interfaces)
    with_context("interface " + printable(interface.name), [&] {
      wait_for_device("a card with address " + printable(interface.mac),
                      [&] { return has_card(interface.mac); });
      configure_interface(interface);
    });
}

}  // namespace husk::guest
