// The kernel's announcements of devices: to wait for one that is plugged, instead of looking again and again.
#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace husk::guest {

// Calls `there` until it returns true: at once, then after each announcement and each rescan of the PCI bus
// (a device may be plugged after the call came). Throws kTimeout ("WHAT did not appear") after
// deadline::kDeviceAppears.
void wait_for_device(const std::string& what, const std::function<bool()>& there);

}  // namespace husk::guest
