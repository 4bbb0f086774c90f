#include "vm/net/tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/netlink_address.h"

namespace husk::vm {
namespace {

NetlinkMessage change(const Tap& tap, unsigned flags) {
  ifinfomsg header{};
  header.ifi_index = tap.index;
  header.ifi_change = flags;
  header.ifi_flags = flags;
  return NetlinkMessage(RTM_NEWLINK, 0, header);
}

}  // namespace

Tap make_tap(NetlinkSocket& socket, uint32_t mtu) {
  Tap tap;
  tap.fd = open_file("/dev/net/tun", O_RDWR);
  ifreq request{};
  // With the virtio-net header, checksums left open and large segments pass from veth to guest and back as
  // they are. QEMU sets the header's size and the offloads it can take (TUNSETVNETHDRSZ, TUNSETOFFLOAD).
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  std::string("husk%d").copy(request.ifr_name, IFNAMSIZ - 1);  // the kernel finds the first free number
  check(ioctl(tap.fd.get(), TUNSETIFF, &request), "make a tap (TUNSETIFF)");
  tap.name = request.ifr_name;
  tap.index = static_cast<int>(if_nametoindex(request.ifr_name));
  if (tap.index == 0) throw_errno("find tap " + tap.name);
  check(ioctl(tap.fd.get(), SIOCGIFHWADDR, &request), "ask for the MAC address of tap " + tap.name);
  tap.mac = format_mac(reinterpret_cast<const uint8_t*>(request.ifr_hwaddr.sa_data));
  // The tap is a wire: the host's IPv6 must not greet the guest from it (router solicitations, multicast
  // reports).
  make_no_link_local(socket, tap.index);
  NetlinkMessage up = change(tap, IFF_UP);
  up.put(IFLA_MTU, mtu);
  socket.request(up, "bring up tap " + tap.name);
  return tap;
}

}  // namespace husk::vm
