#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "agent/guest/boot.h"
#include "agent/guest/uevents.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"

namespace husk::guest {
namespace {

constexpr const char* kPorts = "/sys/class/virtio-ports";
constexpr long kReconnectMs = 2;

// The device's name ("vport0p1"), or nothing yet. A port's name comes in a message of its own, after the
// port.
std::string find_port(const std::string& wanted) {
  for (const std::string& device : list_entries(kPorts)) {
    try {
      if (read_file(path_join(path_join(kPorts, device), "name")) == wanted + "\n") return device;
    } catch (const Error&) {
      // no name yet
    }
  }
  return "";
}

}  // namespace

UniqueFd open_port(const std::string& name) {
  UniqueFd port;
  wait_for_device("the virtio port " + name, [&] {
    const std::string device = find_port(name);
    if (device.empty()) return false;
    int fd = open(path_join("/dev", device).c_str(), O_RDWR | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT && errno != ENXIO) throw_errno("open /dev/" + device);
    port.reset(fd);
    return fd >= 0;
  });
  return port;
}

void wait_for_host(int port) noexcept {
  for (;;) {
    pollfd fd{port, POLLIN, 0};
    if (poll(&fd, 1, -1) < 0) continue;
    // While the host's end is not open, the driver reports a hangup and offers nothing to wait for.
    if ((fd.revents & POLLIN) && !(fd.revents & POLLHUP)) return;
    timespec pause{0, kReconnectMs * 1'000'000};
    nanosleep(&pause, nullptr);
  }
}

}  // namespace husk::guest
