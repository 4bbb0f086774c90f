// Limits in v2's terms, converted from v1's, which the OCI spec speaks. Kernel documentation:
// admin-guide/cgroup-v2.rst. A missing controller comes here too: each write then becomes a warning.
#include <algorithm>
#include <cerrno>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/cgroups_files.h"

namespace husk::cgroup {
namespace {

std::string or_max(int64_t value) {
  return value < 0 ? "max" : std::to_string(value);
}

// OCI's swap is memory + swap, v2's memory.swap.max swap alone. Nothing: leave it.
std::optional<std::string> swap_max(Controls& c, const spec::MemoryResources& memory) {
  int64_t limit = memory.limit.value_or(0), swap = memory.swap.value_or(0);
  if (swap < 0 || (swap == 0 && limit < 0)) return "max";
  if (swap == 0) return std::nullopt;
  if (limit == 0) {
    // An update of swap alone: the limit is the one in force.
    uint64_t now = number(c.get("memory.max").value_or("max"));
    limit = now == UINT64_MAX ? -1 : static_cast<int64_t>(now);
  }
  if (limit < 0) throw Error(ErrorKind::kInvalid, "memory.swap needs a memory.limit");
  if (swap < limit) throw Error(ErrorKind::kInvalid, "memory.swap (memory + swap) is below memory.limit");
  return std::to_string(swap - limit);
}

void limit_bandwidth(Controls& c, const spec::CpuResources& cpu) {
  int64_t quota = cpu.quota.value_or(0);
  uint64_t period = cpu.period.value_or(0);
  if (quota == 0 && period == 0) return;
  std::string value = quota > 0 ? std::to_string(quota) : "max";
  if (quota == 0) {
    // Only the period changes.
    std::string now = c.get("cpu.max").value_or("max");
    std::vector<std::string_view> fields = split(trim(now), ' ');
    if (!fields.empty()) value = fields[0];
  }
  if (period) value += " " + std::to_string(period);
  c.set("cpu.max", value);
}

}  // namespace

uint64_t shares_to_weight(uint64_t shares) {
  shares = std::clamp<uint64_t>(shares, 2, 262144);
  return 1 + ((shares - 2) * 9999) / 262142;
}

uint64_t blkio_to_io_weight(uint64_t weight) {
  weight = std::clamp<uint64_t>(weight, 10, 1000);
  return 1 + (weight - 10) * 9999 / 990;
}

void limit_memory_v2(Controls& c, const spec::MemoryResources& memory) {
  check_memory_usage(c, "memory.current", memory);
  if (std::optional<std::string> swap = swap_max(c, memory)) {
    // A kernel without swap has nothing to limit.
    bool nothing = *swap == "max" || *swap == "0";
    if (!nothing || c.has("memory.swap.max")) c.set("memory.swap.max", *swap);
  }
  int64_t limit = memory.limit.value_or(0);
  if (limit > 0 || (limit < 0 && c.has("memory.max"))) c.set("memory.max", or_max(limit));
  if (memory.reservation.value_or(0)) c.set("memory.low", or_max(*memory.reservation));
  if (memory.kernel_tcp.value_or(0)) c.warn("memory: cgroup v2 has no limit of kernelTCP, it is not set");
  if (memory.swappiness.value_or(UINT64_MAX) != UINT64_MAX)
    c.warn("memory: cgroup v2 has no swappiness, it is not set");
  if (memory.disable_oom_killer.value_or(false))
    c.warn("memory: cgroup v2 cannot disable the OOM killer, it stays enabled");
}

void limit_cpu_v2(Controls& c, const spec::CpuResources& cpu) {
  // An idle group takes no weight (EINVAL).
  if (cpu.idle) c.set("cpu.idle", std::to_string(*cpu.idle));
  if (cpu.shares.value_or(0) && cpu.idle.value_or(0) != 1)
    c.set("cpu.weight", std::to_string(shares_to_weight(*cpu.shares)));

  // A lower quota may need the lower burst first, a higher burst the higher quota.
  int burst_err = cpu.burst ? c.try_set("cpu.max.burst", std::to_string(*cpu.burst)) : 0;
  if (burst_err && burst_err != EINVAL) c.fail("cpu.max.burst", std::to_string(*cpu.burst), burst_err);
  limit_bandwidth(c, cpu);
  if (burst_err) c.set("cpu.max.burst", std::to_string(*cpu.burst));

  if (cpu.realtime_runtime.value_or(0) || cpu.realtime_period.value_or(0))
    c.warn("cpu: cgroup v2 has no realtime limits, they are not set");
}

void limit_io_v2(Controls& c, const spec::BlockIoResources& io) {
  // BFQ keeps v1's range in v2.
  bool bfq = c.has("io.bfq.weight");
  const char* file = bfq ? "io.bfq.weight" : "io.weight";
  auto weight = [&](uint16_t w) { return std::to_string(bfq ? w : blkio_to_io_weight(w)); };
  auto device = [](const auto& d) { return std::to_string(d.major) + ":" + std::to_string(d.minor) + " "; };
  if (io.weight.value_or(0)) c.set(file, weight(*io.weight));
  bool leaf = io.leaf_weight.value_or(0);
  for (const spec::WeightDevice& d : io.weight_device) {
    if (d.weight.value_or(0)) c.set(file, device(d) + weight(*d.weight));
    leaf = leaf || d.leaf_weight.value_or(0);
  }
  if (leaf) c.warn("io: cgroup v2 has no leaf weights, they are not set");
  auto throttle = [&](const char* key, const std::vector<spec::ThrottleDevice>& devices) {
    for (const spec::ThrottleDevice& d : devices)
      c.set("io.max", device(d) + key + "=" + (d.rate ? std::to_string(d.rate) : "max"));
  };
  throttle("rbps", io.throttle_read_bps_device);
  throttle("wbps", io.throttle_write_bps_device);
  throttle("riops", io.throttle_read_iops_device);
  throttle("wiops", io.throttle_write_iops_device);
}

}  // namespace husk::cgroup
