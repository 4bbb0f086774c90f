// Virtio devices that the kernel keeps, most without a driver, while the host takes them out of their slots
// and later puts others of the same kind there: for a VM that is saved in between. To find a device anew is
// 6,000 blocks of code to an emulated guest, to give one that is known its addresses and its driver 3,000,
// its addresses alone 1,100.
#pragma once

#include <string>

namespace husk::guest {

// Waits for a device of this driver on virtio's bus ("virtiofs", "virtio_net"), and parks it: its slot's
// power is off then, which is when QEMU takes it out. Before there is a host to serve; throws.
// keep_driver: where the kernel allows it the driver stays with it, and what it had told the device is told
// the next one (virtio_pci.h): for a device whose queues have not been used, and which has no state of its
// own.
void park(const std::string& driver, bool keep_driver);

// The parked device of this driver, or in this port, is to be used: the host has put one there. Returns its
// name on virtio's bus ("virtio3"). Empty: there is none, or what is in its place is something else, which
// the kernel has to look for. Thread-safe.
std::string unpark_of(const std::string& driver);
std::string unpark_in(const std::string& port);

}  // namespace husk::guest
