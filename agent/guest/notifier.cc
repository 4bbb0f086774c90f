#include "agent/guest/notifier.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "agent/guest/husk_notify.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"

namespace husk::guest {
namespace {

constexpr const char* kDevice = "/dev/husk-notify";

UniqueFd take_device() {
  UniqueFd device(open(kDevice, O_RDWR | O_CLOEXEC));
  if (device) unlink(kDevice);
  return device;
}

// Nothing is opened but for its name: no fifo, no device, and no file on the host.
UniqueFd find_below(int volume, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
  return UniqueFd(static_cast<int>(syscall(SYS_openat2, volume, path.c_str(), &how, sizeof how)));
}

}  // namespace

Notifier::Notifier() : device_(take_device()) {}

bool Notifier::notify(const std::string& volume, const std::string& path, uint32_t mask) {
  if (!device_)
    throw Error(ErrorKind::kUnsupported, "the guest's kernel cannot tell of changes on the host", ENODEV);
  const UniqueFd top(open(volume.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  const std::string name = path.empty() ? "" : base_name(path);
  husk_notify request{};
  if (!top || name.size() >= sizeof request.name) return false;
  const UniqueFd folder = name.empty() ? dup_fd(top.get()) : find_below(top.get(), dir_name(path));
  request.fd = folder.get();
  request.mask = mask;
  request.cookie = next_cookie_++;
  memcpy(request.name, name.data(), name.size());
  if (!folder) return false;
  return check(ioctl(device_.get(), HUSK_NOTIFY, &request), "/dev/husk-notify: " + printable(path)) > 0;
}

}  // namespace husk::guest
