// Cgroup v1's files: limits, create, the group of a process, stats.
#include "libcontainer/linux/cgroups.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/linux/fake_cgroupfs.h"

// A limit names only what it sets.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace husk {
namespace {

TEST(CgroupV1, Limits) {
  using R = spec::Resources;
  std::vector<LimitCase> cases = {
      {"memory",
       {{"memory/g/memory.limit_in_bytes", "9223372036854771712\n"},
        {"memory/g/memory.memsw.limit_in_bytes", "9223372036854771712\n"},
        {"memory/g/memory.soft_limit_in_bytes", ""},
        {"memory/g/memory.swappiness", "60"},
        {"memory/g/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\n"}},
       [](R& r) {
         r.memory = {
             .limit = 1000, .reservation = 10, .swap = 1500, .swappiness = 0, .disable_oom_killer = true};
       },
       {{"memory/g/memory.limit_in_bytes", "1000"},
        {"memory/g/memory.memsw.limit_in_bytes", "1500"},
        {"memory/g/memory.soft_limit_in_bytes", "10"},
        {"memory/g/memory.swappiness", "0"},
        {"memory/g/memory.oom_control", "1"}}},
      {"unlimited",
       {{"memory/g/memory.limit_in_bytes", "1"}, {"memory/g/memory.memsw.limit_in_bytes", "1"}},
       [](R& r) { r.memory = {.limit = -1}; },
       {{"memory/g/memory.limit_in_bytes", "-1"}, {"memory/g/memory.memsw.limit_in_bytes", "-1"}}},
      {"no swap accounting",
       {{"memory/g/memory.limit_in_bytes", "1"}},
       [](R& r) { r.memory = {.limit = 5, .swap = 7}; },
       {{"memory/g/memory.limit_in_bytes", "5"}},
       1},
      {"cpu",
       {{"cpu/g/cpu.shares", ""},
        {"cpu/g/cpu.cfs_period_us", ""},
        {"cpu/g/cpu.cfs_quota_us", ""},
        {"cpu/g/cpu.cfs_burst_us", ""},
        {"cpuset/g/cpuset.cpus", ""},
        {"cpu/g/cpu.rt_runtime_us", ""}},
       [](R& r) {
         r.cpu = spec::CpuResources{.shares = 512,
                                    .quota = 5,
                                    .period = 9,
                                    .burst = 1,
                                    .realtime_runtime = 3,
                                    .cpus = "1",
                                    .mems = ""};
       },
       {{"cpu/g/cpu.shares", "512"},
        {"cpu/g/cpu.cfs_period_us", "9"},
        {"cpu/g/cpu.cfs_quota_us", "5"},
        {"cpu/g/cpu.cfs_burst_us", "1"},
        {"cpuset/g/cpuset.cpus", "1"},
        {"cpu/g/cpu.rt_runtime_us", "3"}}},
      {"quota off",
       {{"cpu/g/cpu.cfs_quota_us", "5"}},
       [](R& r) { r.cpu = spec::CpuResources{.quota = -7}; },
       {{"cpu/g/cpu.cfs_quota_us", "-1"}}},
      {"blkio bfq",
       {{"blkio/g/blkio.bfq.weight", ""},
        {"blkio/g/blkio.bfq.weight_device", ""},
        {"blkio/g/blkio.throttle.write_bps_device", ""}},
       [](R& r) {
         r.block_io = spec::BlockIoResources{};
         r.block_io->weight = 300;
         r.block_io->weight_device = {{8, 0, 200, std::nullopt}};
         r.block_io->throttle_write_bps_device = {{8, 0, 77}};
       },
       {{"blkio/g/blkio.bfq.weight", "300"},
        {"blkio/g/blkio.bfq.weight_device", "8:0 200"},
        {"blkio/g/blkio.throttle.write_bps_device", "8:0 77"}}},
      {"the rest",
       {{"pids/g/pids.max", ""},
        {"hugetlb/g/hugetlb.2MB.limit_in_bytes", ""},
        {"net_cls,net_prio/g/net_cls.classid", ""},
        {"net_cls,net_prio/g/net_prio.ifpriomap", ""}},
       [](R& r) {
         r.pids_limit = 9;
         r.hugepage_limits = {{"2MB", 3}};
         r.network = spec::NetworkResources{.class_id = 1048577, .priorities = {{"eth0", 5}}};
       },
       {{"pids/g/pids.max", "9"},
        {"hugetlb/g/hugetlb.2MB.limit_in_bytes", "3"},
        {"net_cls,net_prio/g/net_cls.classid", "1048577"},
        {"net_cls,net_prio/g/net_prio.ifpriomap", "eth0 5"}}},
      {"nothing mounted",
       {},
       [](R& r) {
         r.rdma["x"] = {1, 1};
       },
       {},
       1},
  };
  for (const LimitCase& c : cases) {
    SCOPED_TRACE(c.name);
    FakeFs fs;
    for (const char* name : {"cpu", "cpuset", "memory", "blkio", "pids", "hugetlb", "net_cls,net_prio"})
      make_dirs(fs.root() + "/" + name + "/g");
    for (const auto& [file, text] : c.before) fs.put(file, text);
    spec::Resources r;
    c.set(r);
    EXPECT_EQ(Cgroup("/g", fs.root()).apply(r).size(), c.warnings);
    for (const auto& [file, text] : c.after) EXPECT_EQ(fs.get(file), text) << file;
  }
}

TEST(CgroupV1, CreateCopiesCpusetAndJoinsEverything) {
  FakeFs fs;
  fs.put("cpuset/cpuset.cpus", "0-3\n");
  fs.put("cpuset/cpuset.mems", "0\n");
  for (const char* level : {"a", "a/b"}) {
    fs.put(std::string("cpuset/") + level + "/cpuset.cpus", "\n");
    fs.put(std::string("cpuset/") + level + "/cpuset.mems", level == std::string("a") ? "1\n" : "\n");
  }
  fs.put("systemd/cgroup.procs", "");
  fs.put("unified/cgroup.controllers", "");
  fs.put("cpu,cpuacct/cgroup.procs", "");
  Cgroup group("a/b", fs.root());
  group.create();
  group.create();
  EXPECT_EQ(fs.get("cpuset/a/b/cpuset.cpus"), "0-3");
  EXPECT_EQ(fs.get("cpuset/a/b/cpuset.mems"), "1");
  EXPECT_EQ(group.v2_folder(), fs.root() + "/unified/a/b");
  for (const char* name : {"cpuset", "systemd", "unified", "cpu,cpuacct"})
    fs.put(std::string(name) + "/a/b/cgroup.procs", "");
  group.add(42);
  for (const char* name : {"cpuset", "systemd", "unified", "cpu,cpuacct"})
    EXPECT_EQ(fs.get(std::string(name) + "/a/b/cgroup.procs"), "42") << name;
  EXPECT_EQ(group.pids(), std::vector<pid_t>{42});
}

TEST(CgroupV1, AProcessBelowTheGroup) {
  FakeFs fs;
  for (const char* folder :
       {"memory/c", "memory/c/sub", "cpu,cpuacct/c", "cpu,cpuacct/c/sub", "pids/c", "pids/c/sub"})
    fs.put(std::string(folder) + "/cgroup.procs", "");
  struct Case {
    std::vector<std::string> where;
    const char *memory, *cpu, *pids;
  };
  const Case cases[] = {{{}, "c", "c", "c"},
                        {{"/"}, "c", "c", "c"},
                        {{"sub"}, "c/sub", "c/sub", "c/sub"},
                        {{"memory:sub"}, "c/sub", "c", "c"},
                        {{"cpuacct,pids:/sub"}, "c", "c/sub", "c/sub"},
                        {{"sub", "memory:/"}, "c", "c/sub", "c/sub"}};
  for (const Case& c : cases) {
    for (const char* hierarchy : {"memory/", "cpu,cpuacct/", "pids/"})
      for (const char* folder : {"c", "c/sub"}) fs.put(std::string(hierarchy) + folder + "/tasks", "");
    Cgroup("/c", fs.root()).add_self(parse_sub_cgroups(c.where));
    EXPECT_EQ(fs.get(std::string("memory/") + c.memory + "/tasks"), "0");
    EXPECT_EQ(fs.get(std::string("cpu,cpuacct/") + c.cpu + "/tasks"), "0");
    EXPECT_EQ(fs.get(std::string("pids/") + c.pids + "/tasks"), "0");
  }
  EXPECT_EQ(kind_of([&] { Cgroup("/c", fs.root()).add_self(parse_sub_cgroups({"whaat:sub"})); }),
            ErrorKind::kInvalid);
  EXPECT_EQ(kind_of([&] { parse_sub_cgroups({"memory:a/../.."}); }), ErrorKind::kInvalid);
}

TEST(CgroupV1, Stats) {
  FakeFs fs;
  for (const auto& [file, text] :
       Files{{"cpuacct/g/cpuacct.usage", "77\n"},
             {"cpuacct/g/cpuacct.usage_percpu", "70 7 \n"},
             {"cpuacct/g/cpuacct.stat", "user 2\nsystem 1\n"},
             {"cpu/g/cpu.stat", "nr_periods 1\nnr_throttled 2\nthrottled_time 3\n"},
             {"memory/g/memory.usage_in_bytes", "5\n"},
             {"memory/g/memory.limit_in_bytes", "9223372036854771712\n"},
             {"memory/g/memory.stat", "cache 1\ntotal_cache 2\n"},
             {"memory/g/memory.oom_control", "oom_kill_disable 0\noom_kill 3\n"},
             {"blkio/g/blkio.bfq.io_serviced_recursive", "Total 0\n"},
             {"blkio/g/blkio.throttle.io_serviced_recursive", "8:0 Read 4\nTotal 4\n"},
             {"pids/g/pids.max", "10\n"}})
    fs.put(file, text);
  Cgroup group("g", fs.root());
  EXPECT_EQ(group.oom_kills(), 3u);
  nlohmann::json s = group.stats();
  EXPECT_EQ(s["cpu"]["usage"]["total"], 77);
  EXPECT_EQ(s["cpu"]["usage"]["percpu"], (nlohmann::json{70, 7}));
  EXPECT_EQ(s["cpu"]["usage"]["user"], 2 * (1'000'000'000 / sysconf(_SC_CLK_TCK)));
  EXPECT_EQ(s["cpu"]["throttling"]["throttledTime"], 3);
  EXPECT_EQ(s["memory"]["cache"], 2);
  EXPECT_EQ(s["memory"]["usage"]["usage"], 5);
  EXPECT_EQ(s["blkio"]["ioServicedRecursive"].size(), 1u);
  EXPECT_EQ(s["pids"]["limit"], 10);
}

}  // namespace
}  // namespace husk
