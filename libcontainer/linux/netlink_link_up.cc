// Alone in a file, and an ioctl: a static program that only brings lo up (husk-init) does not grow by libnl.
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/linux/netlink.h"

namespace husk {

void set_link_up(const std::string& name) {
  const std::string what = "bring up interface " + name;
  if (name.size() >= IFNAMSIZ) throw_errno(what, ENODEV);
  const UniqueFd socket(check(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), what));
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  check(ioctl(socket.get(), SIOCGIFFLAGS, &request), what);
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  check(ioctl(socket.get(), SIOCSIFFLAGS, &request), what);
}

}  // namespace husk
