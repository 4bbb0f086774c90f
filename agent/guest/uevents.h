// The kernel's announcements of devices: to wait for one that is plugged, instead of looking again and again.
#pragma once

#include <chrono>
#include <functional>
#include <string>

namespace husk::guest {

// Has the kernel look for new devices on the PCI bus; those that it finds have their drivers when this
// returns. A guest without PCI has nothing to scan.
void rescan_devices();

// Calls `there` until it returns true: at once, then after each announcement and each rescan of the PCI bus
// (a device may be plugged after the call came). Throws kTimeout ("WHAT did not appear") after
// deadline::kDeviceAppears.
void wait_for_device(const std::string& what, const std::function<bool()>& there);

}  // namespace husk::guest
