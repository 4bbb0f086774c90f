// Events of inotify(7) for what happened on the host: the file system of a share says nothing of it.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "libcontainer/base/fd.h"

namespace husk::guest {

// Thread-safe.
class Notifier {
 public:
  // Takes the driver of husk's own kernel, and its node away: it is not for containers.
  Notifier();
  // volume: the folder or file that is mounted; path: below it, or empty; mask: inotify's bits. A path that
  // is not there any more is nobody's. False: nobody watches anything in that file system. Throws
  // kUnsupported without the driver.
  bool notify(const std::string& volume, const std::string& path, uint32_t mask);

 private:
  const UniqueFd device_;
  std::atomic<uint32_t> next_cookie_{1};  // of a rename's two events, each of which is told alone
};

}  // namespace husk::guest
