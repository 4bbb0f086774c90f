#include "vm/sizing/sizing.h"

#include <algorithm>
#include <charconv>
#include <string_view>

namespace husk::vm {
namespace {

constexpr uint64_t kMinMemoryMib = 128;  // below it the guest's kernel and agent have no room

// The number of CPUs in a list like "0-3,7"; 0 for what is not one (the guest's cgroup will complain about
// it).
uint64_t cpus_in(std::string_view list) {
  uint64_t count = 0;
  while (!list.empty()) {
    std::string_view part = list.substr(0, list.find(','));
    list.remove_prefix(std::min(part.size() + 1, list.size()));
    uint32_t first = 0, last = 0;
    const char* end = part.data() + part.size();
    auto [rest, error] = std::from_chars(part.data(), end, first);
    if (error != std::errc()) return 0;
    last = first;
    if (rest != end) {
      if (*rest != '-') return 0;
      auto [tail, error2] = std::from_chars(rest + 1, end, last);
      if (error2 != std::errc() || tail != end || last < first) return 0;
    }
    count += uint64_t{last} - first + 1;
  }
  return count;
}

uint64_t wanted_vcpus(const spec::Config& config, const spec::Options& options) {
  if (config.linux_ && config.linux_->resources && config.linux_->resources->cpu) {
    const spec::CpuResources& cpu = *config.linux_->resources->cpu;
    uint64_t period = cpu.period.value_or(100000);  // the kernel's default
    if (cpu.quota.value_or(0) > 0 && period > 0) {
      auto quota = static_cast<uint64_t>(*cpu.quota);
      return quota / period + (quota % period != 0);
    }
    if (uint64_t n = cpus_in(cpu.cpus)) return n;
  }
  return options.vcpus;
}

uint64_t wanted_mib(const spec::Config& config, const spec::Options& options) {
  if (config.linux_ && config.linux_->resources && config.linux_->resources->memory) {
    int64_t limit = config.linux_->resources->memory->limit.value_or(0);
    if (limit > 0) {
      auto bytes = static_cast<uint64_t>(limit);
      return (bytes >> 20) + ((bytes & 0xfffff) != 0) + options.memory_overhead;
    }
  }
  return options.memory;
}

}  // namespace

Size size_for(const spec::Config& config, const spec::Options& options, uint32_t host_cpus,
              uint64_t host_memory_bytes) {
  uint64_t most = std::max<uint64_t>(options.max_vcpus ? options.max_vcpus : host_cpus, 1);
  Size size;
  size.vcpus = static_cast<uint32_t>(std::clamp<uint64_t>(wanted_vcpus(config, options), 1, most));
  // An engine writes "no limit" as a number near 2^63: the host's memory is the end of it.
  uint64_t mib = std::max(wanted_mib(config, options), kMinMemoryMib);
  size.memory_mib = static_cast<uint32_t>(std::min({mib, host_memory_bytes >> 20, uint64_t{UINT32_MAX}}));
  return size;
}

}  // namespace husk::vm
