#include "vm/sandbox/limits.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/systemd_unit.h"

namespace husk::vm {
namespace {

constexpr uint64_t kDefaultCpuPeriod = 100000;  // microseconds, the kernel's

}  // namespace

spec::CpuResources host_cpu(const spec::CpuResources& wanted) {
  spec::CpuResources host;
  host.shares = wanted.shares;
  host.cpus = wanted.cpus;
  host.mems = wanted.mems;
  return host;
}

spec::Resources guest_resources(spec::Resources wanted) {
  if (const int64_t limit = wanted.memory ? wanted.memory->limit.value_or(0) : 0;
      limit > 0 && limit < kMinGuestMemory)
    throw Error(ErrorKind::kInvalid, "linux.resources.memory.limit: " + std::to_string(limit) +
                                         " bytes are less than a process takes (" +
                                         std::to_string(kMinGuestMemory) + ")");
  wanted.block_io.reset();
  if (wanted.cpu) {
    wanted.cpu->cpus.clear();
    wanted.cpu->mems.clear();
  }
  return wanted;
}

spec::Resources host_resources(const spec::Config& config, const Size* vm) {
  spec::Resources host;
  if (!config.linux_ || !config.linux_->resources) return host;
  const spec::Resources& wanted = *config.linux_->resources;
  if (vm && wanted.memory && wanted.memory->limit && *wanted.memory->limit > 0) {
    host.memory.emplace();
    host.memory->limit = (static_cast<int64_t>(vm->memory_mib) + kVmmOverheadMib) << 20;
  }
  if (wanted.cpu) host.cpu = host_cpu(*wanted.cpu);
  if (vm) host.block_io = wanted.block_io;
  return host;
}

spec::Resources host_resources_at_gate(const spec::Resources& wanted) {
  spec::Resources host;
  host.devices = wanted.devices;
  host.pids_limit = wanted.pids_limit;
  if (host.pids_limit.value_or(0) > 0) host.pids_limit = std::max(*host.pids_limit, kMinVmmPids);
  if (!wanted.cpu) return host;
  spec::CpuResources& cpu = host.cpu.emplace();
  cpu.quota = wanted.cpu->quota;
  cpu.period = wanted.cpu->period;
  cpu.burst = wanted.cpu->burst;
  cpu.idle = wanted.cpu->idle;
  const auto period = static_cast<int64_t>(cpu.period.value_or(0) ? *cpu.period : kDefaultCpuPeriod);
  if (cpu.quota && *cpu.quota > 0) cpu.quota = std::max(*cpu.quota, period * kMinVmmCpuPercent / 100);
  return host;
}

spec::Resources vm_memory_limit(const Cgroup& cgroup) {
  constexpr uint64_t kUnlimited = 1ULL << 60;  // v1 says a number near 2^63
  spec::Resources limits;
  const auto bytes = cgroup.stats().at("memory").at("usage").value("limit", uint64_t{0});
  if (bytes > 0 && bytes < kUnlimited) limits.memory.emplace().limit = static_cast<int64_t>(bytes);
  return limits;
}

// A controller that the host lacks is none to warn about: the limit holds in the guest.
void apply_host_limits(Cgroup& cgroup, const std::string& unit, const spec::Resources& limits) {
  SystemdUnit(unit).apply(cgroup, with_default_devices(limits));
  spec::Resources both = limits, host;  // host: what the guest has no counterpart of
  host.block_io = std::exchange(both.block_io, std::nullopt);
  if (both.cpu) {
    host.cpu.emplace();
    host.cpu->cpus = std::exchange(both.cpu->cpus, "");
    host.cpu->mems = std::exchange(both.cpu->mems, "");
  }
  for (const std::string& warning : cgroup.apply(both)) spdlog::debug("{}", warning);
  for (const std::string& warning : cgroup.apply(host)) spdlog::warn("{}", warning);
  for (const std::string& warning : cgroup.apply_container_devices(limits.devices))
    spdlog::debug("{}", warning);
}

// virtiofsd does it, in the cgroup of the container that made the VM.
void warn_about_member_io(const std::optional<spec::BlockIoResources>& io) {
  if (io && (io->weight.value_or(0) || io->leaf_weight.value_or(0) || !io->weight_device.empty() ||
             !io->throttle_read_bps_device.empty() || !io->throttle_write_bps_device.empty() ||
             !io->throttle_read_iops_device.empty() || !io->throttle_write_iops_device.empty()))
    spdlog::warn("blockIO: the container that made the VM has the limits of block I/O, ignored");
}

}  // namespace husk::vm
