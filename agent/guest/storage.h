// The host's files in the guest.
#pragma once

#include <string>

namespace husk::guest {

// Mounts the virtiofs tag at /run/husk/share/TAG, rescanning until it is there. Doing it twice is fine.
void mount_share(const std::string& tag, bool plugged_late);
void unmount_share(const std::string& tag);

}  // namespace husk::guest
