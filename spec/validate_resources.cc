#include "spec/check.h"
#include "spec/validate.h"

namespace husk::spec {
namespace {

// Bytes, or -1 for no limit.
void check_bytes(const std::string& where, const std::optional<int64_t>& value) {
  if (value && *value < -1) fail(where, std::to_string(*value) + " is negative; only -1 (unlimited) may be");
}

void check_memory(const MemoryResources& memory, const std::string& where) {
  check_bytes(where + ".limit", memory.limit);
  check_bytes(where + ".reservation", memory.reservation);
  check_bytes(where + ".swap", memory.swap);
  check_bytes(where + ".kernel", memory.kernel);
  check_bytes(where + ".kernelTCP", memory.kernel_tcp);
  // swap is memory plus swap, as cgroup v1 counts it.
  if (memory.limit.value_or(0) > 0 && memory.swap.value_or(0) > 0 && *memory.swap < *memory.limit)
    fail(where + ".swap",
         std::to_string(*memory.swap) + " is below the memory limit of " + std::to_string(*memory.limit));
  if (memory.limit.value_or(0) < 0 && memory.swap.value_or(0) > 0)
    fail(where + ".swap", std::to_string(*memory.swap) + " needs a memory limit, but that is -1 (unlimited)");
  // Old engines write all bits set for "not given".
  if (memory.swappiness && *memory.swappiness > 100 && *memory.swappiness != UINT64_MAX)
    fail(where + ".swappiness", std::to_string(*memory.swappiness) + " is above 100");
}

void check_devices(const std::vector<DeviceCgroup>& devices, const std::string& list) {
  for (size_t i = 0; i < devices.size(); ++i) {
    const DeviceCgroup& device = devices[i];
    const std::string where = item(list, i);
    if (!device.type.empty()) check_known(where + ".type", kDeviceCgroupTypes, device.type, "device type");
    // Absent or -1: any.
    if (device.major.value_or(-1) != -1) check_device_number(where + ".major", *device.major, kMaxMajor);
    if (device.minor.value_or(-1) != -1) check_device_number(where + ".minor", *device.minor, kMaxMinor);
    if (device.access.find_first_not_of("rwm") != std::string::npos)
      fail(where + ".access", "expected letters of \"rwm\", got " + quoted(device.access));
  }
}

// "64KB", "2MB", "1GB": as the kernel names its hugetlb files.
bool is_page_size(std::string_view text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view unit = text.substr(digits);
  return digits > 0 && text[0] != '0' && (unit == "KB" || unit == "MB" || unit == "GB");
}

// cpu.max and cpu.cfs_*_us (Documentation/scheduler/sched-bwc.rst); 0: as it is.
void check_cpu(const CpuResources& cpu, const std::string& where) {
  constexpr uint64_t kMinPeriod = 1000, kMaxPeriod = 1'000'000;
  const uint64_t period = cpu.period.value_or(0);
  const int64_t quota = cpu.quota.value_or(0);
  if (period && (period < kMinPeriod || period > kMaxPeriod))
    fail(where + ".period", std::to_string(period) + " is not between 1000 and 1000000 microseconds");
  if (quota > 0 && static_cast<uint64_t>(quota) < kMinPeriod)
    fail(where + ".quota", std::to_string(quota) + " is below 1000 microseconds");
  if (quota > 0 && cpu.burst.value_or(0) > static_cast<uint64_t>(quota))
    fail(where + ".burst", std::to_string(*cpu.burst) + " is above the quota of " + std::to_string(quota));
  if (cpu.idle && *cpu.idle != 0 && *cpu.idle != 1)
    fail(where + ".idle", "must be 0 or 1, got " + std::to_string(*cpu.idle));
  check_cpu_list(where + ".cpus", cpu.cpus);
  check_cpu_list(where + ".mems", cpu.mems);
}

// blkio.weight; 0: as it is.
void check_weight(const std::string& where, const std::optional<uint16_t>& weight) {
  const uint16_t value = weight.value_or(0);
  if (value && (value < 10 || value > 1000))
    fail(where, std::to_string(value) + " is not between 10 and 1000");
}

template <typename D>
void check_block_devices(const std::string& list, const std::vector<D>& devices) {
  for (size_t i = 0; i < devices.size(); ++i) {
    check_device_number(item(list, i) + ".major", devices[i].major, kMaxMajor);
    check_device_number(item(list, i) + ".minor", devices[i].minor, kMaxMinor);
  }
}

void check_block_io(const BlockIoResources& io, const std::string& where) {
  check_weight(where + ".weight", io.weight);
  check_weight(where + ".leafWeight", io.leaf_weight);
  check_block_devices(where + ".weightDevice", io.weight_device);
  for (size_t i = 0; i < io.weight_device.size(); ++i) {
    const WeightDevice& device = io.weight_device[i];
    const std::string at = item(where + ".weightDevice", i);
    if (!device.weight && !device.leaf_weight) fail(at, "needs a weight or a leafWeight");
    check_weight(at + ".weight", device.weight);
    check_weight(at + ".leafWeight", device.leaf_weight);
  }
  check_block_devices(where + ".throttleReadBpsDevice", io.throttle_read_bps_device);
  check_block_devices(where + ".throttleWriteBpsDevice", io.throttle_write_bps_device);
  check_block_devices(where + ".throttleReadIOPSDevice", io.throttle_read_iops_device);
  check_block_devices(where + ".throttleWriteIOPSDevice", io.throttle_write_iops_device);
}

// Each name becomes the first word of a line that the kernel reads.
template <typename T>
void check_names(const std::string& where, const std::map<std::string, T>& values, const char* what) {
  for (const auto& [name, value] : values)
    if (!is_plain_name(name)) fail(where, quoted(name) + " is not the name of " + what);
}

// A unified key is a file of the cgroup's folder and must stay one.
void check_unified(const std::map<std::string, std::string>& unified, const std::string& where) {
  for (const auto& [name, value] : unified) {
    if (!is_plain_name(name) || name[0] == '.')
      fail(where, quoted(name) + " is not the name of a cgroup file like \"memory.high\"");
  }
}

}  // namespace

void validate_resources(const Resources& resources, const std::string& where) {
  check_devices(resources.devices, where + ".devices");
  if (resources.memory) check_memory(*resources.memory, where + ".memory");
  if (resources.cpu) check_cpu(*resources.cpu, where + ".cpu");
  if (resources.block_io) check_block_io(*resources.block_io, where + ".blockIO");
  for (size_t i = 0; i < resources.hugepage_limits.size(); ++i) {
    const std::string& size = resources.hugepage_limits[i].page_size;
    if (!is_page_size(size))
      fail(item(where + ".hugepageLimits", i) + ".pageSize",
           "expected a size like \"2MB\", got " + quoted(size));
  }
  if (resources.network)
    check_names(where + ".network.priorities", resources.network->priorities, "a network interface");
  check_names(where + ".rdma", resources.rdma, "an RDMA device");
  check_unified(resources.unified, where + ".unified");
}

}  // namespace husk::spec
