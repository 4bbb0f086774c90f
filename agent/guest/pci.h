// The slots of the machine's hot-plug ports (PCI Express root ports). There is no hotplug driver: the agent
// turns a slot's power on before it looks for what was plugged there, and off to let go of it. PCI Express
// Base Specification, 7.5.3.10 (Slot Control Register); what QEMU makes of it is in its hw/pci/pcie.c.
#pragma once

#include <string>

#include "libcontainer/base/fd.h"

namespace husk::guest {

// All slots on: for who does not know which one it needs. What fails is logged.
void power_slots() noexcept;

// "0000:00:04.0", as the host names a port.
bool is_pci_address(const std::string& text);
// The network interface (the kernel's name) of the card in this port, while it is in the namespace of /sys;
// or empty.
std::string card_in_port(const std::string& port);
// The same for a device on virtio's bus: "virtio3".
std::string card_of(const std::string& virtio);
// The same for the disk in it: "vda".
std::string disk_in_port(const std::string& port);
// Takes the devices in this port from the kernel and turns the slot's power off and on again, which is when
// QEMU takes out what it was asked to. Throws.
void eject(const std::string& port);

// The slot of a port, open. Throws.
class Slot {
 public:
  explicit Slot(const std::string& port);
  // A device in a slot that is off is not there for the kernel; what is in one that is turned off leaves it.
  void set_power(bool on) const;

 private:
  UniqueFd config_;  // the port's configuration space
  off_t slot_;       // where in it the capability with the slot's registers is
};

}  // namespace husk::guest
