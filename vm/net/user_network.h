// The network of a container that an engine puts into the host's network namespace: QEMU's user-mode stack
// (slirp), which makes a socket on the host of each of the guest's connections. See "Using the user mode
// network stack" in QEMU's manual, whose default addresses these are.
#pragma once

#include "libcontainer/linux/netlink.h"

namespace husk::vm {

// The host itself, its loopback included, and its resolver, as the guest knows them.
inline constexpr const char* kUserNetworkHost = "10.0.2.2";
inline constexpr const char* kUserNetworkResolver = "10.0.2.3";

// The guest's one card: eth0, an address, a default route. Its IPv6 address comes by router advertisement.
Interface user_network_card();

}  // namespace husk::vm
