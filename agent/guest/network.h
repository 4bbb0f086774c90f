// The guest's network cards.
#pragma once

#include <vector>

#include "libcontainer/linux/netlink.h"

namespace husk::guest {

// Waits for each card (by MAC address), rescanning, moves it to the network namespace (-1: the guest's own)
// and configures it there.
void configure_network(int netns, const std::vector<Interface>& interfaces);

}  // namespace husk::guest
