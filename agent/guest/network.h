// The guest's network cards.
#pragma once

#include <vector>

#include "libcontainer/linux/netlink.h"

namespace husk::guest {

// Waits for each card (by MAC address), rescanning, and configures it.
void configure_network(const std::vector<Interface>& interfaces);

}  // namespace husk::guest
