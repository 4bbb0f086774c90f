#include "agent/guest/pci.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <string_view>
#include <vector>

#include "agent/guest/log.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/file.h"

namespace husk::guest {
namespace {

constexpr const char* kDevices = "/sys/bus/pci/devices";
constexpr int kMaxCapabilities = 48;  // as many as fit into a function's configuration space
constexpr uint16_t kPowerOn = PCI_EXP_SLTCTL_PWR_IND_ON, kPowerBits = PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PIC;
constexpr uint16_t kPowerOff = PCI_EXP_SLTCTL_PCC | PCI_EXP_SLTCTL_PWR_IND_OFF;

std::string device_path(const std::string& address) {
  return path_join(kDevices, address);
}

template <typename T>
T read_register(const UniqueFd& config, off_t offset) {
  T value{};  // x86 is little-endian, as PCI is
  if (pread(config.get(), &value, sizeof value, offset) != sizeof value)
    throw_errno("reading PCI configuration space");
  return value;
}

UniqueFd open_config(const std::string& address) {
  return open_file(path_join(device_path(address), "config"), O_RDWR);
}

// Where the PCI Express capability of a port with a slot is, or 0.
off_t find_slot(const UniqueFd& config) {
  if (read_register<uint16_t>(config, PCI_CLASS_DEVICE) != 0x0604) return 0;  // a bridge
  off_t at = read_register<uint8_t>(config, PCI_CAPABILITY_LIST);
  for (int i = 0; at && i < kMaxCapabilities; ++i) {
    if (read_register<uint8_t>(config, at) == PCI_CAP_ID_EXP)
      return read_register<uint16_t>(config, at + PCI_EXP_FLAGS) & PCI_EXP_FLAGS_SLOT ? at : 0;
    at = read_register<uint8_t>(config, at + PCI_CAP_LIST_NEXT);
  }
  return 0;
}

void set_power(const UniqueFd& config, off_t slot, uint16_t power) {
  const auto old = read_register<uint16_t>(config, slot + PCI_EXP_SLTCTL);
  const auto value = static_cast<uint16_t>((old & ~kPowerBits) | power);
  if (pwrite(config.get(), &value, sizeof value, slot + PCI_EXP_SLTCTL) != sizeof value)
    throw_errno("writing a slot's control register");
}

// What the virtio driver has made of the device in this port: its first entry of this class.
std::string interface_in_port(const std::string& port, const char* kind) {
  const std::string folder = device_path(port);
  for (const std::string& device : list_entries(folder)) {
    if (!is_pci_address(device)) continue;
    for (const std::string& name : list_entries(path_join(folder, device)))
      if (name.starts_with("virtio"))
        for (std::string& found : list_entries(path_join(path_join(folder, device), path_join(name, kind))))
          return found;
  }
  return "";
}

}  // namespace

void power_slots() noexcept {
  try {
    for (const std::string& address : list_entries(kDevices)) {
      const UniqueFd config = open_config(address);
      if (const off_t slot = find_slot(config)) set_power(config, slot, kPowerOn);
    }
  } catch (const std::exception& e) {
    log_warning(std::string("the power of the PCI slots: ") + e.what());
  }
}

bool is_pci_address(const std::string& text) {
  constexpr std::string_view kForm = "xxxx:xx:xx.x";
  return text.size() == kForm.size() &&
         std::equal(text.begin(), text.end(), kForm.begin(), [](unsigned char c, char form) {
           return form == 'x' ? isxdigit(c) != 0 : c == static_cast<unsigned char>(form);
         });
}

std::string card_in_port(const std::string& port) {
  return interface_in_port(port, "net");
}

std::string card_of(const std::string& virtio) {
  for (std::string& found : list_entries("/sys/bus/virtio/devices/" + virtio + "/net"))
    return std::move(found);
  return "";
}

std::string disk_in_port(const std::string& port) {
  return interface_in_port(port, "block");
}

Slot::Slot(const std::string& port) : config_(open_config(port)), slot_(find_slot(config_)) {
  if (!slot_) throw Error(ErrorKind::kInvalid, "PCI device " + printable(port) + " has no slot");
}

void Slot::set_power(bool on) const {
  guest::set_power(config_, slot_, on ? kPowerOn : kPowerOff);
}

void eject(const std::string& port) {
  const Slot slot(port);
  for (const std::string& device : list_entries(device_path(port)))
    if (is_pci_address(device)) write_file(path_join(device_path(port), device + "/remove"), "1");
  slot.set_power(false);
  slot.set_power(true);
}

}  // namespace husk::guest
