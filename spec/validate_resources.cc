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
  // Old engines write all bits set for "not given".
  if (memory.swappiness && *memory.swappiness > 100 && *memory.swappiness != UINT64_MAX)
    fail(where + ".swappiness", std::to_string(*memory.swappiness) + " is above 100");
}

void check_devices(const std::vector<DeviceCgroup>& devices, const std::string& list) {
  for (size_t i = 0; i < devices.size(); ++i) {
    const DeviceCgroup& device = devices[i];
    const std::string where = item(list, i);
    check_known(where + ".type", kDeviceCgroupTypes, device.type, "device type");
    if (device.major.value_or(0) < -1) fail(where + ".major", "below -1 (any)");
    if (device.minor.value_or(0) < -1) fail(where + ".minor", "below -1 (any)");
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

// A unified key is a file of the cgroup's folder and must stay one.
void check_unified(const std::map<std::string, std::string>& unified, const std::string& where) {
  for (const auto& [name, value] : unified) {
    if (name.empty() || name[0] == '.' || name.find('/') != std::string::npos)
      fail(where, quoted(name) + " is not the name of a cgroup file");
  }
}

}  // namespace

void validate_resources(const Resources& resources, const std::string& where) {
  check_devices(resources.devices, where + ".devices");
  if (resources.memory) check_memory(*resources.memory, where + ".memory");
  if (resources.cpu) {
    const CpuResources& cpu = *resources.cpu;
    check_cpu_list(where + ".cpu.cpus", cpu.cpus);
    check_cpu_list(where + ".cpu.mems", cpu.mems);
    if (cpu.idle && *cpu.idle != 0 && *cpu.idle != 1)
      fail(where + ".cpu.idle", "must be 0 or 1, got " + std::to_string(*cpu.idle));
  }
  for (size_t i = 0; i < resources.hugepage_limits.size(); ++i) {
    const std::string& size = resources.hugepage_limits[i].page_size;
    if (!is_page_size(size))
      fail(item(where + ".hugepageLimits", i) + ".pageSize",
           "expected a size like \"2MB\", got " + quoted(size));
  }
  check_unified(resources.unified, where + ".unified");
}

}  // namespace husk::spec
