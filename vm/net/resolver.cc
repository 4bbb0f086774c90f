#include "vm/net/resolver.h"

#include "libcontainer/base/file.h"
#include "libcontainer/linux/netlink.h"
#include "libcontainer/linux/netlink_socket.h"
#include "libcontainer/linux/network_namespace.h"
#include "vm/net/traffic_control.h"

namespace husk::vm {

void let_resolver_through(int netns_fd) {
  in_network_namespace(netns_fd, [] {
    write_file("/proc/sys/net/ipv4/ip_local_port_range",
               std::to_string(kResolverPorts) + " " + std::to_string(UINT16_MAX));
    NetlinkSocket socket;
    for (const Interface& interface : scan_interfaces()) pass_resolver(socket, interface.index);
  });
}

}  // namespace husk::vm
