// Limits in v1's terms, which are those of the OCI spec. Kernel documentation: admin-guide/cgroup-v1/.
#include <algorithm>
#include <cerrno>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/cgroups_files.h"

namespace husk::cgroup {
namespace {

constexpr const char* kLimit = "memory.limit_in_bytes";
constexpr const char* kMemsw = "memory.memsw.limit_in_bytes";

// v1 shows "no limit" as the largest multiple of the page size: every negative value means that.
bool raises(Controls& c, int64_t memsw) {
  return memsw < 0 || static_cast<uint64_t>(memsw) >= number(c.get(kMemsw).value_or("0"));
}

void set_limit(Controls& c, int64_t limit) {
  std::string value = std::to_string(limit);
  int err = c.try_set(kLimit, value);
  if (err == EBUSY)
    throw Error(ErrorKind::kInternal,
                "memory limit " + value +
                    " is too low: " + std::to_string(number(c.get("memory.usage_in_bytes").value_or("0"))) +
                    " bytes are in use and cannot be reclaimed",
                err);
  if (err) c.fail(kLimit, value, err);
}

// limit <= memsw.limit has to hold after each of the two writes. 0: leave it.
void set_limits(Controls& c, int64_t limit, int64_t memsw) {
  if (limit < 0 && memsw == 0) memsw = -1;
  if (memsw < 0 && !c.has(kMemsw)) memsw = 0;
  bool memsw_first = memsw != 0 && raises(c, memsw);
  if (memsw_first) c.set(kMemsw, std::to_string(memsw));
  if (limit != 0) set_limit(c, limit);
  if (memsw != 0 && !memsw_first) c.set(kMemsw, std::to_string(memsw));
}

// A quota may only be valid with the new period, or the new period only with the quota.
void set_pair(Controls& c, const char* first_file, std::optional<std::string> first, const char* second_file,
              std::optional<std::string> second) {
  int err = first ? c.try_set(first_file, *first) : 0;
  if (err && (err != EINVAL || !second)) c.fail(first_file, *first, err);
  if (second) c.set(second_file, *second);
  if (err) c.set(first_file, *first);
}

std::optional<std::string> text(std::optional<uint64_t> value) {
  if (value.value_or(0)) return std::to_string(*value);
  return std::nullopt;
}

}  // namespace

void check_memory_usage(Controls& c, const char* usage_file, const spec::MemoryResources& memory) {
  if (!memory.check_before_update.value_or(false) || memory.limit.value_or(0) <= 0) return;
  uint64_t usage = number(c.get(usage_file).value_or("0"));
  if (usage > static_cast<uint64_t>(*memory.limit))
    throw Error(ErrorKind::kInvalid, "memory limit " + std::to_string(*memory.limit) + " is below the " +
                                         std::to_string(usage) + " bytes in use (checkBeforeUpdate)");
}

void limit_memory_v1(Controls& c, const spec::MemoryResources& memory) {
  check_memory_usage(c, "memory.usage_in_bytes", memory);
  set_limits(c, memory.limit.value_or(0), memory.swap.value_or(0));
  if (memory.reservation.value_or(0))
    c.set("memory.soft_limit_in_bytes", std::to_string(*memory.reservation));
  if (memory.kernel_tcp.value_or(0))
    c.set("memory.kmem.tcp.limit_in_bytes", std::to_string(*memory.kernel_tcp));
  if (memory.swappiness.value_or(UINT64_MAX) != UINT64_MAX) {  // all bits set: old engines' "not given"
    if (*memory.swappiness > 100) throw Error(ErrorKind::kInvalid, "memory.swappiness has to be 0 to 100");
    c.set("memory.swappiness", std::to_string(*memory.swappiness));
  }
  if (memory.disable_oom_killer) {
    bool now = keyed(c.get("memory.oom_control").value_or(""), "oom_kill_disable") == 1;
    if (now != *memory.disable_oom_killer) c.set("memory.oom_control", now ? "0" : "1");
  }
}

void limit_cpu_v1(Controls& c, const spec::CpuResources& cpu) {
  // An idle group takes no shares (EINVAL), so idleness ends before and begins after them.
  if (cpu.idle) c.set("cpu.idle", std::to_string(*cpu.idle));
  if (cpu.shares.value_or(0) && cpu.idle.value_or(0) != 1) c.set("cpu.shares", std::to_string(*cpu.shares));

  // A lower quota may need the lower burst first, a higher burst the higher quota.
  int burst_err = cpu.burst ? c.try_set("cpu.cfs_burst_us", std::to_string(*cpu.burst)) : 0;
  if (burst_err && burst_err != EINVAL) c.fail("cpu.cfs_burst_us", std::to_string(*cpu.burst), burst_err);
  std::optional<std::string> quota;
  if (cpu.quota.value_or(0)) quota = std::to_string(std::max<int64_t>(*cpu.quota, -1));
  set_pair(c, "cpu.cfs_period_us", text(cpu.period), "cpu.cfs_quota_us", quota);
  if (burst_err) c.set("cpu.cfs_burst_us", std::to_string(*cpu.burst));

  std::optional<std::string> runtime;
  if (cpu.realtime_runtime.value_or(0)) runtime = std::to_string(*cpu.realtime_runtime);
  set_pair(c, "cpu.rt_period_us", text(cpu.realtime_period), "cpu.rt_runtime_us", runtime);
}

void limit_io_v1(Controls& c, const spec::BlockIoResources& io) {
  // CFQ's files went with CFQ (5.0); BFQ has its own.
  bool bfq = !c.has("blkio.weight") && c.has("blkio.bfq.weight");
  std::string prefix = bfq ? "blkio.bfq." : "blkio.";
  if (io.weight.value_or(0)) c.set(prefix + "weight", std::to_string(*io.weight));
  if (io.leaf_weight.value_or(0)) c.set("blkio.leaf_weight", std::to_string(*io.leaf_weight));
  auto line = [](const auto& device, uint64_t value) {
    return std::to_string(device.major) + ":" + std::to_string(device.minor) + " " + std::to_string(value);
  };
  for (const spec::WeightDevice& d : io.weight_device) {
    if (d.weight.value_or(0)) c.set(prefix + "weight_device", line(d, *d.weight));
    if (d.leaf_weight.value_or(0)) c.set("blkio.leaf_weight_device", line(d, *d.leaf_weight));
  }
  auto throttle = [&](const char* file, const std::vector<spec::ThrottleDevice>& devices) {
    for (const spec::ThrottleDevice& d : devices) c.set(file, line(d, d.rate));
  };
  throttle("blkio.throttle.read_bps_device", io.throttle_read_bps_device);
  throttle("blkio.throttle.write_bps_device", io.throttle_write_bps_device);
  throttle("blkio.throttle.read_iops_device", io.throttle_read_iops_device);
  throttle("blkio.throttle.write_iops_device", io.throttle_write_iops_device);
}

}  // namespace husk::cgroup
