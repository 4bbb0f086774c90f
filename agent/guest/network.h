// The guest's network cards.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "libcontainer/linux/netlink.h"

namespace husk::guest {

// What the host says of one card.
struct Card {
  std::string port;  // the PCI address of the port that it is plugged into
  Interface interface;
  std::optional<Interface> before;  // what it said of this card the last time
};

// Thread-safe.
class Network {
 public:
  // Waits for each card that is new, rescanning, and moves it to the network namespace (-1: the guest's own);
  // then makes it what the host says. netns: open as long as the guest lives.
  void configure(int netns, const std::vector<Card>& cards);
  // Lets go of the card, so that the host can take it out.
  void unplug(const std::string& port);

 private:
  struct Place {
    int netns = -1, index = 0;  // of the interface, whatever the container calls it
  };
  std::mutex mutex_;
  std::map<std::string, Place> places_;  // by port
};

}  // namespace husk::guest
