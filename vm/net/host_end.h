// The host's end of a spliced namespace. Engines enter it and connect to the container's address
// (rootlessport) or to 127.0.0.1 (kubectl port-forward): those connections go through the tap into the guest.
// In the guest they come from a link-local address, which is the host's end's own.
#pragma once

#include <vector>

#include "libcontainer/linux/netlink.h"
#include "libcontainer/linux/netlink_socket.h"
#include "vm/net/tap.h"

namespace husk::vm {

// Sets interface.host_end and interface.tap: an address and routes on the tap, filters on both. Needs both
// ingress qdiscs. all: what else is in the namespace, for an address that nobody has. A kernel that cannot do
// it is a warning in the log, and host_end stays empty.
void connect_host_end(NetlinkSocket& socket, const Tap& tap, Interface& interface,
                      const std::vector<Interface>& all);
// The interface's addresses have become those of `now`. Never throws; logs.
void update_host_end(NetlinkSocket& socket, const Interface& before, const Interface& now) noexcept;
// The tap of an interface is not to be used any more: its routes go.
void disconnect_host_end(NetlinkSocket& socket, const Interface& interface);
// Where no tap is used any more, the rules go that made their routes count. Throws.
void forget_host_end(NetlinkSocket& socket);

}  // namespace husk::vm
