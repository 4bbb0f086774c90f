// Cgroup v2's files: limits, create, stats.
#include "libcontainer/linux/cgroups.h"

#include <gtest/gtest.h>

#include "tests/linux/fake_cgroupfs.h"

// A limit names only what it sets.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace husk {
namespace {

using std::chrono::milliseconds;

TEST(CgroupV2, Limits) {
  using R = spec::Resources;
  std::vector<LimitCase> cases = {
      {"memory and swap",
       {{"memory.max", "max"}, {"memory.swap.max", "max"}, {"memory.low", "0"}},
       [](R& r) { r.memory = {.limit = 1000, .reservation = 500, .swap = 1500}; },
       {{"memory.max", "1000"}, {"memory.swap.max", "500"}, {"memory.low", "500"}}},
      {"memory unlimited",
       {{"memory.max", "5"}, {"memory.swap.max", "5"}},
       [](R& r) { r.memory = {.limit = -1}; },
       {{"memory.max", "max"}, {"memory.swap.max", "max"}}},
      {"memory, swap unlimited",
       {{"memory.max", "5"}, {"memory.swap.max", "5"}},
       [](R& r) { r.memory = {.limit = 10, .swap = -1}; },
       {{"memory.max", "10"}, {"memory.swap.max", "max"}}},
      {"swap alone",
       {{"memory.max", "600\n"}, {"memory.swap.max", "5"}},
       [](R& r) { r.memory = {.swap = 1000}; },
       {{"memory.max", "600\n"}, {"memory.swap.max", "400"}}},
      {"no swap in the kernel",
       {{"memory.max", "max"}},
       [](R& r) { r.memory = {.limit = 10, .swap = 10}; },
       {{"memory.max", "10"}}},
      {"v1 only knobs",
       {{"memory.max", "max"}},
       [](R& r) { r.memory = {.limit = 10, .kernel = 4, .swappiness = 3, .disable_oom_killer = true}; },
       {{"memory.max", "10"}},
       2},
      {"zeros of engines",
       {},
       [](R& r) {
         r.memory = {.limit = 0, .swap = 0, .disable_oom_killer = false};
         r.cpu = spec::CpuResources{.shares = 0, .quota = 0, .period = 0};
         r.block_io = spec::BlockIoResources{};
         r.block_io->weight = 0;
         r.pids_limit = 0;
       },
       {}},
      {"cpu",
       {{"cpu.weight", ""}, {"cpu.max", "max 100000"}, {"cpu.max.burst", "0"}},
       [](R& r) { r.cpu = spec::CpuResources{.shares = 1024, .quota = 5000, .period = 20000, .burst = 100}; },
       {{"cpu.weight", "39"}, {"cpu.max", "5000 20000"}, {"cpu.max.burst", "100"}}},
      {"cpu quota off",
       {{"cpu.max", "5000 20000\n"}},
       [](R& r) { r.cpu = spec::CpuResources{.quota = -1}; },
       {{"cpu.max", "max"}}},
      {"cpu period alone",
       {{"cpu.max", "5000 20000\n"}},
       [](R& r) { r.cpu = spec::CpuResources{.period = 30000}; },
       {{"cpu.max", "5000 30000"}}},
      {"cpu idle takes no weight",
       {{"cpu.weight", "7"}, {"cpu.idle", "0"}},
       [](R& r) { r.cpu = spec::CpuResources{.shares = 1024, .idle = 1}; },
       {{"cpu.weight", "7"}, {"cpu.idle", "1"}}},
      {"cpuset",
       {{"cpuset.cpus", ""}, {"cpuset.mems", ""}},
       [](R& r) { r.cpu = spec::CpuResources{.cpus = "0-1", .mems = "0"}; },
       {{"cpuset.cpus", "0-1"}, {"cpuset.mems", "0"}}},
      {"realtime", {}, [](R& r) { r.cpu = spec::CpuResources{.realtime_runtime = 5}; }, {}, 1},
      {"pids", {{"pids.max", "max"}}, [](R& r) { r.pids_limit = 20; }, {{"pids.max", "20"}}},
      {"pids none", {{"pids.max", "20"}}, [](R& r) { r.pids_limit = -1; }, {{"pids.max", "max"}}},
      {"pids 0 is none", {{"pids.max", "20"}}, [](R& r) { r.pids_limit = 0; }, {{"pids.max", "max"}}},
      {"io weight",
       {{"io.weight", "default 100"}, {"io.max", ""}},
       [](R& r) {
         r.block_io = spec::BlockIoResources{};
         r.block_io->weight = 500;
         r.block_io->throttle_read_bps_device = {{8, 16, 4096}};
       },
       {{"io.weight", "4950"}, {"io.max", "8:16 rbps=4096"}}},
      {"io bfq keeps the range",
       {{"io.bfq.weight", "100"}, {"io.max", ""}},
       [](R& r) {
         r.block_io = spec::BlockIoResources{};
         r.block_io->weight_device = {{8, 0, 300, 20}};
         r.block_io->throttle_write_iops_device = {{8, 16, 0}};
       },
       {{"io.bfq.weight", "8:0 300"}, {"io.max", "8:16 wiops=max"}},
       1},
      {"hugetlb",
       {{"hugetlb.2MB.max", "max"}, {"hugetlb.2MB.rsvd.max", "max"}, {"hugetlb.1GB.max", "max"}},
       [](R& r) {
         r.hugepage_limits = {{"2MB", 4194304}, {"1GB", 0}};
       },
       {{"hugetlb.2MB.max", "4194304"}, {"hugetlb.2MB.rsvd.max", "4194304"}, {"hugetlb.1GB.max", "0"}}},
      {"rdma",
       {{"rdma.max", ""}},
       [](R& r) {
         r.rdma["mlx"] = {3, std::nullopt};
       },
       {{"rdma.max", "mlx hca_handle=3"}}},
      {"missing controllers",
       {},
       [](R& r) {
         r.memory = {.limit = 10};
         r.pids_limit = 4;
         r.network = spec::NetworkResources{.class_id = 7, .priorities = {{"lo", 1}}};
       },
       {},
       4},
      {"unified wins",
       {{"memory.max", "max"}, {"memory.high", "max"}},
       [](R& r) {
         r.memory = {.limit = 10};
         r.unified = {{"memory.max", "20"}, {"memory.high", "15"}};
       },
       {{"memory.max", "20"}, {"memory.high", "15"}}},
  };
  for (const LimitCase& c : cases) {
    SCOPED_TRACE(c.name);
    FakeFs fs;
    fs.put("cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma\n");
    make_dirs(fs.root() + "/g");
    for (const auto& [file, text] : c.before) fs.put("g/" + file, text);
    spec::Resources r;
    c.set(r);
    EXPECT_EQ(Cgroup("/g", fs.root()).apply(r).size(), c.warnings);
    for (const auto& [file, text] : c.after) EXPECT_EQ(fs.get("g/" + file), text) << file;
  }
}

TEST(CgroupV2, RefusedLimits) {
  FakeFs fs;
  fs.put("cgroup.controllers", "memory\n");
  for (const char* file : {"memory.max", "memory.swap.max"}) fs.put(std::string("g/") + file, "max");
  fs.put("g/memory.current", "5000\n");
  fs.put("evil", "safe");
  Cgroup group("g", fs.root());
  auto apply = [&](auto set) {
    spec::Resources r;
    set(r);
    return kind_of([&] { group.apply(r); });
  };
  EXPECT_EQ(apply([](auto& r) { r.memory = {.limit = 10, .swap = 5}; }), ErrorKind::kInvalid);
  EXPECT_EQ(apply([](auto& r) { r.memory = {.swap = 5}; }), ErrorKind::kInvalid);
  EXPECT_EQ(apply([](auto& r) { r.memory = {.limit = 10, .check_before_update = true}; }),
            ErrorKind::kInvalid);
  EXPECT_EQ(apply([](auto& r) { r.unified = {{"../evil", "x"}}; }), ErrorKind::kInvalid);
  EXPECT_EQ(apply([](auto& r) { r.unified = {{"", "x"}}; }), ErrorKind::kInvalid);
  EXPECT_EQ(apply([](auto& r) { r.unified = {{"nope.max", "x"}}; }), ErrorKind::kUnsupported);
  EXPECT_EQ(apply([](auto& r) { r.hugepage_limits = {{"../../evil", 1}}; }), ErrorKind::kInvalid);
  EXPECT_EQ(fs.get("evil"), "safe");
  // A group which is gone is an error, not a missing controller.
  spec::Resources r;
  r.memory = {.limit = 10};
  EXPECT_EQ(kind_of([&] { Cgroup("/gone", fs.root()).apply(r); }), ErrorKind::kNotFound);
}

TEST(CgroupV2, CreateEnablesControllersAboveTheLeaf) {
  FakeFs fs;
  fs.put("cgroup.controllers", "cpu memory pids\n");
  fs.put("cgroup.subtree_control", "memory\n");
  fs.put("a/cgroup.controllers", "cpu memory\n");
  fs.put("a/cgroup.subtree_control", "");
  Cgroup group("/a/b", fs.root());
  group.create();
  EXPECT_EQ(fs.get("cgroup.subtree_control"), "+cpu +pids");
  EXPECT_EQ(fs.get("a/cgroup.subtree_control"), "+cpu +memory");
  EXPECT_FALSE(path_exists(fs.root() + "/a/b/cgroup.subtree_control"));
  group.remove(milliseconds(100));
  EXPECT_FALSE(path_exists(fs.root() + "/a/b"));
  EXPECT_TRUE(path_exists(fs.root() + "/a"));
  group.remove(milliseconds(100));
  fs.put("a/t/cgroup.type", "domain invalid\n");
  EXPECT_EQ(kind_of([&] { Cgroup("/a/t", fs.root()).create(); }), ErrorKind::kUnsupported);
}

TEST(CgroupV2, Stats) {
  FakeFs fs;
  fs.put("cgroup.controllers", "cpuset cpu io memory hugetlb pids\n");
  for (const auto& [file, text] : Files{
           {"cpu.stat",
            "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 5\nnr_throttled 2\nthrottled_usec 7\n"},
           {"cpuset.cpus.effective", "0-2,5\n"},
           {"memory.current", "100\n"},
           {"memory.max", "max\n"},
           {"memory.peak", "150\n"},
           {"memory.swap.current", "11\n"},
           {"memory.swap.max", "0\n"},
           {"memory.stat", "anon 1\nfile 2\nkernel 3\n"},
           {"memory.events", "low 0\nhigh 0\nmax 4\noom 1\noom_kill 6\n"},
           {"io.stat", "8:16 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n"},
           {"pids.current", "3\n"},
           {"pids.max", "max\n"},
           {"hugetlb.2MB.current", "2097152\n"},
           {"hugetlb.2MB.rsvd.current", "1\n"}})
    fs.put("g/" + file, text);
  Cgroup group("g", fs.root());
  EXPECT_EQ(group.oom_kills(), 6u);
  nlohmann::json s = group.stats();
  EXPECT_EQ(s["cpu"]["usage"]["total"], 30000);
  EXPECT_EQ(s["cpu"]["usage"]["kernel"], 10000);
  EXPECT_EQ(s["cpu"]["throttling"]["throttledTime"], 7000);
  EXPECT_EQ(s["cpuset"]["cpus"], (nlohmann::json{0, 1, 2, 5}));
  EXPECT_EQ(s["memory"]["usage"]["limit"], UINT64_MAX);
  EXPECT_EQ(s["memory"]["usage"]["max"], 150);
  EXPECT_EQ(s["memory"]["usage"]["failcnt"], 4);
  EXPECT_EQ(s["memory"]["swap"]["usage"], 111);
  EXPECT_EQ(s["memory"]["cache"], 2);
  EXPECT_EQ(s["memory"]["raw"]["anon"], 1);
  EXPECT_EQ(s["pids"], (nlohmann::json{{"current", 3}, {"limit", 0}}));
  EXPECT_EQ(s["hugetlb"].size(), 1u);
  EXPECT_EQ(s["hugetlb"]["2MB"]["usage"], 2097152);
  EXPECT_EQ(s["blkio"]["ioServiceBytesRecursive"].size(), 3u);
  EXPECT_EQ(s["blkio"]["ioServicedRecursive"][1],
            (nlohmann::json{{"major", 8}, {"minor", 16}, {"op", "Write"}, {"value", 4}}));
}

}  // namespace
}  // namespace husk
