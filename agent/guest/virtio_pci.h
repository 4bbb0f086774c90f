// What a driver has told a virtio device, so that another of the same kind can be told the same: the driver
// never learns that its device was changed. Virtual I/O Device (VIRTIO) 1.1, 4.1.4.3 (Common configuration
// structure) and 3.1 (Device Initialization); PCI Local Bus Specification 3.0, 6.8.2 (MSI-X).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "libcontainer/base/fd.h"

namespace husk::guest {

class VirtioPci {
 public:
  // Of a device in use (its folder in sysfs) whose queues are still empty: those start anew. Throws, also
  // where the kernel lets nobody look at the registers.
  explicit VirtioPci(const std::string& folder);
  // To the one that is there now: of the same kind, at the same addresses, just reset. Throws.
  void restore() const;

 private:
  // A part of a BAR, mapped for good: the addresses stay, and nobody unparks twice.
  volatile uint8_t* map(const std::string& folder, unsigned bar, uint32_t offset, size_t size) const;
  template <typename T>
  volatile T& reg(size_t offset) const {
    return *reinterpret_cast<volatile T*>(common_ + offset);
  }

  struct Queue {
    uint16_t size, vector, enabled;
    std::array<uint32_t, 6> addresses;  // low and high: descriptors, driver area, device area
  };

  UniqueFd config_;
  off_t msix_ = 0;  // where in it MSI-X's capability is
  volatile uint8_t* common_ = nullptr;
  volatile uint32_t* table_ = nullptr;  // of MSI-X

  uint16_t msix_control_ = 0, config_vector_ = 0;
  std::array<uint32_t, 2> features_{};
  std::vector<Queue> queues_;
  std::vector<uint32_t> vectors_;  // the table's words
};

}  // namespace husk::guest
