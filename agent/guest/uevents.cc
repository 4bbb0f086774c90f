#include "agent/guest/uevents.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"

namespace husk::guest {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Without hotplug interrupts the bus only tells when asked.
constexpr milliseconds kRescanEvery{20};
constexpr unsigned kKernelGroup = 1;

UniqueFd open_uevents() {
  UniqueFd fd(check(socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT),
                    "socket for uevents"));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = kKernelGroup;
  check(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "bind for uevents");
  return fd;
}

}  // namespace

void rescan_devices() {
  int fd = open("/sys/bus/pci/rescan", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  (void)!write(fd, "1", 1);
  close(fd);
}

void wait_for_device(const std::string& what, const std::function<bool()>& there) {
  if (there()) return;
  UniqueFd events = open_uevents();
  Clock::time_point end = Clock::now() + deadline::kDeviceAppears;
  Clock::time_point next_scan = Clock::now();
  milliseconds interval = kRescanEvery;
  while (!there()) {
    Clock::time_point now = Clock::now();
    if (now >= end) throw Error(ErrorKind::kTimeout, what + " did not appear in the guest", ETIMEDOUT);
    if (now >= next_scan) {
      rescan_devices();
      next_scan = Clock::now() + interval;
      interval = std::min(interval * 2, milliseconds(500));
      continue;
    }
    auto wait = std::chrono::ceil<milliseconds>(std::min(next_scan, end) - now);
    if (!wait_readable(events.get(), static_cast<int>(wait.count()))) continue;
    char buffer[4096];
    while (recv(events.get(), buffer, sizeof buffer, 0) > 0) {
    }
  }
}

}  // namespace husk::guest
