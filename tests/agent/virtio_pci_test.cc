#include "agent/guest/virtio_pci.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/pci_regs.h>
#include <linux/virtio_pci.h>
#include <unistd.h>

#include <cstring>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "tests/base/temp_folder.h"

namespace husk::guest {
namespace {

// A device as sysfs shows it: plain files in place of registers. One queue, since they do not change with its
// selection.
class Device {
 public:
  static constexpr size_t kMsix = 0x40, kVendor = 0x60, kCommon = 0x40, kTable = 0x20;

  Device() {
    space_[PCI_CAPABILITY_LIST] = kMsix;
    space_[kMsix] = PCI_CAP_ID_MSIX;
    space_[kMsix + PCI_CAP_LIST_NEXT] = kVendor;
    put(space_, kMsix + PCI_MSIX_FLAGS, uint16_t(PCI_MSIX_FLAGS_ENABLE | 1));  // two vectors
    put(space_, kMsix + PCI_MSIX_TABLE, uint32_t(kTable | 1));
    space_[kVendor] = PCI_CAP_ID_VNDR;
    space_[kVendor + VIRTIO_PCI_CAP_CFG_TYPE] = VIRTIO_PCI_CAP_COMMON_CFG;
    space_[kVendor + VIRTIO_PCI_CAP_BAR] = 4;
    put(space_, kVendor + VIRTIO_PCI_CAP_OFFSET, uint32_t(kCommon));
    put(common_, kCommon + VIRTIO_PCI_COMMON_GF, uint32_t(0x1234));
    put(common_, kCommon + VIRTIO_PCI_COMMON_MSIX, uint16_t(0xffff));
    put(common_, kCommon + VIRTIO_PCI_COMMON_NUMQ, uint16_t(1));
    put(common_, kCommon + VIRTIO_PCI_COMMON_Q_SIZE, uint16_t(128));
    put(common_, kCommon + VIRTIO_PCI_COMMON_Q_MSIX, uint16_t(1));
    put(common_, kCommon + VIRTIO_PCI_COMMON_Q_ENABLE, uint16_t(1));
    for (uint32_t i = 0; i < 6; ++i)
      put(common_, kCommon + VIRTIO_PCI_COMMON_Q_DESCLO + i * 4, uint32_t(0x1000 + i));
    for (uint32_t i = 0; i < 8; ++i) put(table_, kTable + i * 4, uint32_t(0xfee00000 + i));
    write();
  }

  template <typename T>
  static void put(std::string& where, size_t at, T value) {
    memcpy(&where[at], &value, sizeof value);
  }
  template <typename T>
  static T get(const std::string& where, size_t at) {
    T value;
    memcpy(&value, &where[at], sizeof value);
    return value;
  }
  void write() const {
    write_file(folder / "config", space_, true);
    overwrite("resource4", common_);
    overwrite("resource1", table_);
  }
  // In place: it may be mapped.
  void overwrite(const std::string& name, const std::string& data) const {
    const UniqueFd fd = open_file(folder / name, O_WRONLY | O_CREAT, 0600);
    ASSERT_EQ(pwrite(fd.get(), data.data(), data.size(), 0), static_cast<ssize_t>(data.size()));
  }

  TempFolder folder;
  std::string space_ = std::string(256, 0), common_ = std::string(4096, 0), table_ = std::string(4096, 0);
};

TEST(VirtioPci, TellsTheNextDeviceWhatTheFirstWasTold) {
  Device device;
  const VirtioPci known(device.folder.path);
  std::string fresh(4096, 0), space = device.space_;
  Device::put(fresh, Device::kCommon + VIRTIO_PCI_COMMON_NUMQ, uint16_t(1));
  Device::put(space, Device::kMsix + PCI_MSIX_FLAGS, uint16_t(1));
  device.overwrite("resource4", fresh);
  device.overwrite("resource1", std::string(4096, 0));
  device.overwrite("config", space);

  known.restore();
  EXPECT_EQ(read_file(device.folder / "config"), device.space_);
  EXPECT_EQ(read_file(device.folder / "resource1"), device.table_);
  std::string wanted = device.common_;
  wanted[Device::kCommon + VIRTIO_PCI_COMMON_STATUS] = 1 | 2 | 8 | 4;
  Device::put(wanted, Device::kCommon + VIRTIO_PCI_COMMON_GFSELECT, uint32_t(1));
  EXPECT_EQ(read_file(device.folder / "resource4"), wanted);
}

TEST(VirtioPci, RefusesAnotherKind) {
  Device device;
  const VirtioPci known(device.folder.path);
  std::string other = device.common_;
  Device::put(other, Device::kCommon + VIRTIO_PCI_COMMON_NUMQ, uint16_t(3));
  device.overwrite("resource4", other);
  EXPECT_THROW(known.restore(), Error);
}

TEST(VirtioPci, RefusesWhatIsNoSuchDevice) {
  const std::pair<const char*, void (*)(std::string&)> spaces[] = {
      {"no capabilities", [](std::string& s) { s[PCI_CAPABILITY_LIST] = 0; }},
      {"MSI-X is off", [](std::string& s) { Device::put(s, Device::kMsix + PCI_MSIX_FLAGS, uint16_t(1)); }},
      {"no common configuration", [](std::string& s) { s[Device::kVendor + VIRTIO_PCI_CAP_CFG_TYPE] = 2; }},
      {"a list without an end",
       [](std::string& s) { s[Device::kMsix + PCI_CAP_LIST_NEXT] = static_cast<char>(Device::kMsix); }},
      {"a list that leaves the space",
       [](std::string& s) { s[PCI_CAPABILITY_LIST] = static_cast<char>(0xff); }},
      {"a BAR that is not there", [](std::string& s) { s[Device::kVendor + VIRTIO_PCI_CAP_BAR] = 2; }},
  };
  for (const auto& [what, change] : spaces) {
    SCOPED_TRACE(what);
    Device device;
    change(device.space_);
    device.write();
    EXPECT_THROW(VirtioPci(device.folder.path), Error);
  }
}

}  // namespace
}  // namespace husk::guest
