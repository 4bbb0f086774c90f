#include "agent/guest/virtio_pci.h"

#include <fcntl.h>
#include <linux/pci_regs.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"

namespace husk::guest {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kWordsPerVector = PCI_MSIX_ENTRY_SIZE / sizeof(uint32_t);
constexpr uint8_t kInUse = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK;

// The configuration space's standard part, in which all capabilities are.
using Space = std::array<uint8_t, PCI_CFG_SPACE_SIZE>;

template <typename T>
T word(const Space& space, size_t at) {
  T value{};
  if (at + sizeof value <= space.size())
    std::copy_n(&space[at], sizeof value, reinterpret_cast<uint8_t*>(&value));
  return value;
}

}  // namespace

volatile uint8_t* VirtioPci::map(const std::string& folder, unsigned bar, uint32_t offset,
                                 size_t size) const {
  const UniqueFd resource = open_file(path_join(folder, "resource" + std::to_string(bar)), O_RDWR);
  const size_t begin = offset / kPage * kPage, within = offset - begin;
  void* memory = mmap(nullptr, within + size, PROT_READ | PROT_WRITE, MAP_SHARED, resource.get(),
                      static_cast<off_t>(begin));
  if (memory == MAP_FAILED) throw_errno("mapping a PCI device's registers");
  return static_cast<uint8_t*>(memory) + within;
}

VirtioPci::VirtioPci(const std::string& folder) : config_(open_file(path_join(folder, "config"), O_RDWR)) {
  Space space{};
  check(pread(config_.get(), space.data(), space.size(), 0), "reading PCI configuration space");
  // Each at least two bytes, and none twice: there are no more than that.
  size_t at = space[PCI_CAPABILITY_LIST];
  for (size_t i = 0; at && i < space.size() / 2; ++i, at = word<uint8_t>(space, at + PCI_CAP_LIST_NEXT)) {
    const auto id = word<uint8_t>(space, at);
    if (id == PCI_CAP_ID_VNDR && !common_ &&
        word<uint8_t>(space, at + VIRTIO_PCI_CAP_CFG_TYPE) == VIRTIO_PCI_CAP_COMMON_CFG)
      common_ = map(folder, word<uint8_t>(space, at + VIRTIO_PCI_CAP_BAR),
                    word<uint32_t>(space, at + VIRTIO_PCI_CAP_OFFSET), sizeof(virtio_pci_common_cfg));
    if (id != PCI_CAP_ID_MSIX || table_) continue;
    msix_ = static_cast<off_t>(at);
    msix_control_ = word<uint16_t>(space, at + PCI_MSIX_FLAGS);
    const auto where = word<uint32_t>(space, at + PCI_MSIX_TABLE);
    vectors_.resize((1U + (msix_control_ & PCI_MSIX_FLAGS_QSIZE)) * kWordsPerVector);
    table_ = reinterpret_cast<volatile uint32_t*>(map(folder, where & PCI_MSIX_TABLE_BIR,
                                                      where & PCI_MSIX_TABLE_OFFSET,
                                                      vectors_.size() * sizeof(uint32_t)));
  }
  if (!common_ || !table_ || !(msix_control_ & PCI_MSIX_FLAGS_ENABLE))
    throw Error(ErrorKind::kUnsupported, folder + " is no virtio device with MSI-X");
  for (size_t i = 0; i < vectors_.size(); ++i) vectors_[i] = table_[i];
  for (uint32_t half = 0; half < features_.size(); ++half) {
    reg<uint32_t>(VIRTIO_PCI_COMMON_GFSELECT) = half;
    features_[half] = reg<uint32_t>(VIRTIO_PCI_COMMON_GF);
  }
  config_vector_ = reg<uint16_t>(VIRTIO_PCI_COMMON_MSIX);
  queues_.resize(reg<uint16_t>(VIRTIO_PCI_COMMON_NUMQ));
  for (uint16_t i = 0; i < queues_.size(); ++i) {
    Queue& queue = queues_[i];
    reg<uint16_t>(VIRTIO_PCI_COMMON_Q_SELECT) = i;
    queue.size = reg<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE);
    queue.vector = reg<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX);
    queue.enabled = reg<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE);
    for (size_t half = 0; half < queue.addresses.size(); ++half)
      queue.addresses[half] = reg<uint32_t>(VIRTIO_PCI_COMMON_Q_DESCLO + half * sizeof(uint32_t));
  }
}

void VirtioPci::restore() const {
  for (size_t i = 0; i < vectors_.size(); ++i) table_[i] = vectors_[i];
  if (pwrite(config_.get(), &msix_control_, sizeof msix_control_, msix_ + PCI_MSIX_FLAGS) !=
      sizeof msix_control_)
    throw_errno("writing PCI configuration space");
  reg<uint8_t>(VIRTIO_PCI_COMMON_STATUS) = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
  for (uint32_t half = 0; half < features_.size(); ++half) {
    reg<uint32_t>(VIRTIO_PCI_COMMON_GFSELECT) = half;
    reg<uint32_t>(VIRTIO_PCI_COMMON_GF) = features_[half];
  }
  reg<uint8_t>(VIRTIO_PCI_COMMON_STATUS) = kInUse;
  if (reg<uint8_t>(VIRTIO_PCI_COMMON_STATUS) != kInUse ||
      reg<uint16_t>(VIRTIO_PCI_COMMON_NUMQ) != queues_.size())
    throw Error(ErrorKind::kUnsupported, "the device is of another kind than the one before");
  reg<uint16_t>(VIRTIO_PCI_COMMON_MSIX) = config_vector_;
  for (uint16_t i = 0; i < queues_.size(); ++i) {
    const Queue& queue = queues_[i];
    if (!queue.enabled) continue;
    reg<uint16_t>(VIRTIO_PCI_COMMON_Q_SELECT) = i;
    reg<uint16_t>(VIRTIO_PCI_COMMON_Q_SIZE) = queue.size;
    reg<uint16_t>(VIRTIO_PCI_COMMON_Q_MSIX) = queue.vector;
    for (size_t half = 0; half < queue.addresses.size(); ++half)
      reg<uint32_t>(VIRTIO_PCI_COMMON_Q_DESCLO + half * sizeof(uint32_t)) = queue.addresses[half];
    reg<uint16_t>(VIRTIO_PCI_COMMON_Q_ENABLE) = 1;
  }
  reg<uint8_t>(VIRTIO_PCI_COMMON_STATUS) = kInUse | VIRTIO_CONFIG_S_DRIVER_OK;
}

}  // namespace husk::guest
