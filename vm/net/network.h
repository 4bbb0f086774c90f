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

// Runs in a thread of its own that enters the namespace (setns(2) acts on one thread); the caller's does not
// change. skip: names of interfaces that are spliced already. Throws; on failure nothing is left.
std::vector<Endpoint> splice_namespace(int netns_fd, const std::vector<std::string>& skip = {});

// Removes the ingress qdiscs that splice_namespace() made, from the interfaces named. An interface or
// namespace that is gone is fine. Never throws; logs.
void unsplice(int netns_fd, const std::vector<std::string>& interfaces) noexcept;
// The same for every interface of a namespace, by path: after a kill -9 nobody knows which ones they were.
// Where another VM has its taps nothing is done.
void unsplice_all(const std::string& netns_path) noexcept;

}  // namespace husk::vm
