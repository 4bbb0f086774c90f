// A tap device that lives as long as its fd.
#pragma once

#include <string>

#include "libcontainer/base/fd.h"
#include "libcontainer/linux/netlink_socket.h"

namespace husk::vm {

struct Tap {
  UniqueFd fd;
  std::string name, mac;
  int index = 0;
};

// Makes "huskN" in the calling thread's network namespace: up, without addresses of its own, with this MTU.
// Throws.
Tap make_tap(NetlinkSocket& socket, uint32_t mtu);

}  // namespace husk::vm
