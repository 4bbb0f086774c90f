#include "vm/sizing/sizing.h"

#include <gtest/gtest.h>

#include <optional>

namespace husk::vm {
namespace {

constexpr uint64_t kMiB = 1u << 20;

struct Row {
  const char* name;
  std::optional<int64_t> quota;
  std::optional<uint64_t> period;
  const char* cpuset;
  std::optional<int64_t> memory;  // bytes
  uint32_t max_vcpus;
  uint32_t vcpus, memory_mib;  // expected; on a host of 8 CPUs and 4096 MiB
};

const Row kRows[] = {
    {"no limits", {}, {}, "", {}, 0, 1, 512},
    {"half a CPU", 50000, 100000, "", {}, 0, 1, 512},
    {"one and a half", 150000, 100000, "", {}, 0, 2, 512},
    {"exactly two", 200000, 100000, "", {}, 0, 2, 512},
    {"the kernel's period", 300000, {}, "", {}, 0, 3, 512},
    {"period 0", 300000, 0, "", {}, 0, 1, 512},
    {"no quota", -1, 100000, "", {}, 0, 1, 512},
    {"more than the host has", 9000000, 100000, "", {}, 0, 8, 512},
    {"more than max_vcpus", 900000, 100000, "", {}, 2, 2, 512},
    {"cpuset", {}, {}, "0-2,7", {}, 0, 4, 512},
    {"quota before cpuset", 100000, 100000, "0-2,7", {}, 0, 1, 512},
    {"bad cpuset", {}, {}, "3-1", {}, 0, 1, 512},
    {"bad cpuset 2", {}, {}, "1-,x", {}, 0, 1, 512},
    {"huge cpuset", {}, {}, "0-4294967295", {}, 0, 8, 512},
    {"memory limit", {}, {}, "", 256 * kMiB, 0, 1, 352},
    {"memory rounded up", {}, {}, "", 256 * kMiB + 1, 0, 1, 353},
    {"tiny memory", {}, {}, "", 4096, 0, 1, 128},
    {"unlimited", {}, {}, "", -1, 0, 1, 512},
    {"unlimited as engines write it", {}, {}, "", 9223372036854771712, 0, 1, 4096},
};

TEST(Sizing, Table) {
  for (const Row& row : kRows) {
    spec::Options options;
    options.max_vcpus = row.max_vcpus;
    spec::Config config;
    config.linux_.emplace().resources.emplace();
    config.linux_->resources->cpu = spec::CpuResources{};
    config.linux_->resources->cpu->quota = row.quota;
    config.linux_->resources->cpu->period = row.period;
    config.linux_->resources->cpu->cpus = row.cpuset;
    config.linux_->resources->memory = spec::MemoryResources{};
    config.linux_->resources->memory->limit = row.memory;
    Size size = size_for(config, options, 8, 4096 * kMiB);
    EXPECT_EQ(size.vcpus, row.vcpus) << row.name;
    EXPECT_EQ(size.memory_mib, row.memory_mib) << row.name;
  }
}

TEST(Sizing, NoLinuxSection) {
  spec::Options options;
  options.vcpus = 3;
  EXPECT_EQ(size_for({}, options, 2, 1024 * kMiB).vcpus, 2u);
}

}  // namespace
}  // namespace husk::vm
