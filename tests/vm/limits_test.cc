// What a container's host cgroup gets of its limits.
#include "vm/sandbox/limits.h"

#include <gtest/gtest.h>

#include "tests/base/kind_of.h"

namespace husk::vm {
namespace {

TEST(HostResources, AtGate) {
  spec::Resources wanted;
  EXPECT_FALSE(host_resources_at_gate(wanted).cpu);
  EXPECT_FALSE(host_resources_at_gate(wanted).pids_limit);
  wanted.cpu.emplace();
  wanted.cpu->shares = 7;
  wanted.cpu->realtime_runtime = 1;
  wanted.memory.emplace();
  struct Case {
    std::optional<int64_t> quota;
    std::optional<uint64_t> period;
    std::optional<int64_t> host_quota;
  };
  for (const Case& c :
       {Case{50000, 100000, 50000}, Case{-1, {}, -1}, Case{{}, 50000, {}}, Case{1000, {}, 5000},
        Case{1000, 10000, 1000}, Case{10, 10000, 500}, Case{0, 10000, 0}}) {
    wanted.cpu->quota = c.quota;
    wanted.cpu->period = c.period;
    const spec::Resources host = host_resources_at_gate(wanted);
    EXPECT_EQ(host.cpu->quota, c.host_quota);
    EXPECT_EQ(host.cpu->period, c.period);
    EXPECT_FALSE(host.cpu->shares) << "set from the beginning";
    EXPECT_FALSE(host.cpu->realtime_runtime);
    EXPECT_FALSE(host.memory);
  }
  for (auto [limit, bound] : {std::pair<int64_t, int64_t>{1, kMinVmmPids}, {1000, 1000}, {-1, -1}, {0, 0}}) {
    wanted.pids_limit = limit;
    EXPECT_EQ(host_resources_at_gate(wanted).pids_limit, bound);
  }
  wanted.devices = {{true, "c", 1, 2, "r"}};
  EXPECT_EQ(host_resources_at_gate(wanted).devices.size(), 1u);
}

TEST(HostResources, BlockIoIsTheHosts) {
  spec::Config config;
  spec::Resources& wanted = config.linux_.emplace().resources.emplace();
  wanted.block_io.emplace().weight = 100;
  wanted.cpu.emplace().cpus = "1";
  const Size size{1, 256};
  EXPECT_TRUE(host_resources(config, &size).block_io);
  EXPECT_FALSE(host_resources(config, nullptr).block_io) << "a member's cgroup does not hold the VM";
  EXPECT_FALSE(guest_resources(wanted).block_io);
  spec::Resources tight;
  tight.memory.emplace().limit = kMinGuestMemory;
  EXPECT_EQ(guest_resources(tight).memory->limit, kMinGuestMemory);
  --*tight.memory->limit;
  EXPECT_EQ(kind_of([&] { guest_resources(tight); }), ErrorKind::kInvalid);
  EXPECT_EQ(guest_resources(wanted).cpu->cpus, "");
}

}  // namespace
}  // namespace husk::vm
