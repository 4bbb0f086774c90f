// How a container's host network namespace reaches its VM: every interface in it gets a tap beside it, and tc
// redirects each one's ingress to the other (the interface keeps its addresses, for the engine to see). QEMU
// gets the tap's fd.
#pragma once

#include <string>
#include <vector>

#include "libcontainer/base/fd.h"
#include "libcontainer/linux/netlink.h"

namespace husk::vm {

// One interface of the namespace, spliced. The tap is not persistent: it ends with the last fd. What outlives
// the fds is the ingress qdisc on the interface: unsplice() takes it off.
struct Endpoint {
  Interface interface;   // what the guest's card has to look like (same MAC, MTU, addresses, routes)
  std::string tap_name;  // "husk0", …, in the container's namespace
  UniqueFd tap_fd;       // open /dev/net/tun, IFF_TAP | IFF_NO_PI | IFF_VNET_HDR, offloads left to QEMU
};

// What is different from the interfaces that are known.
struct Changes {
  std::vector<Endpoint> added;     // spliced
  std::vector<Interface> refused;  // new, too, but they could not be: a warning was logged
  std::vector<Interface> changed;  // other names, addresses, routes, neighbors: as they are now
  std::vector<Interface> gone;     // or down; as they were known; no qdisc of ours is on them any more
};

// Both run in a thread of their own that enters the namespace; the caller's does not change.
// Throws; on failure nothing is left.
std::vector<Endpoint> splice_namespace(int netns_fd);
// Brings the splices up to date. known: what it was told before, refused ones included. An interface whose
// MAC or MTU is another one has gone, and is a new one: cards don't change. Throws; what was known then
// stays as it is.
Changes update_splices(int netns_fd, const std::vector<Interface>& known);

// Removes the ingress qdiscs that were made on these interfaces (by index). An interface or namespace that is
// gone is fine. Never throws; logs.
void unsplice(int netns_fd, const std::vector<Interface>& interfaces) noexcept;
// The same for every interface of a namespace, by path, whose tap is gone: after a kill -9 nobody knows which
// ones they were. Those of another VM there stay as they are.
void unsplice_all(const std::string& netns_path) noexcept;

}  // namespace husk::vm
