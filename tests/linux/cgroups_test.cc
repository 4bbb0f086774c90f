// Cgroups: conversions and files on a fake cgroupfs, life and death on the real one (skipped without root).
#include "libcontainer/linux/cgroups.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <thread>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/rootless.h"
#include "libcontainer/linux/cgroups_files.h"

// A limit names only what it sets.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace husk {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Files = std::map<std::string, std::string>;

// A folder that looks like a mounted cgroupfs; the control files are there before the test starts.
class FakeFs {
 public:
  FakeFs() {
    char name[] = "/tmp/husk-cgroup-XXXXXX";
    root_ = mkdtemp(name);
  }
  ~FakeFs() { remove_tree(root_); }
  const std::string& root() const { return root_; }
  void put(const std::string& file, const std::string& text) {
    make_dirs(dir_name(path_join(root_, file)));
    write_file(path_join(root_, file), text, true, 0644);
  }
  std::string get(const std::string& file) const { return read_file(path_join(root_, file)); }

 private:
  std::string root_;
};

ErrorKind kind_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.kind();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorKind::kInternal;
}

// Only where he may write there has an ordinary user a group.
TEST(Cgroup, AnOrdinaryUserHasWhatIsDelegated) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  FakeFs fs;
  fs.put("memory/cgroup.procs", "");
  fs.put("pids/user/cgroup.procs", "");
  constexpr uid_t kNobody = 65534;
  for (const char* folder : {"", "/memory", "/pids"})
    check(chmod((fs.root() + folder).c_str(), 0755), "chmod");
  check(chown((fs.root() + "/pids/user").c_str(), kNobody, kNobody), "chown");
  const pid_t pid = fork();
  if (pid == 0) {
    set_rootless(true);
    if (seteuid(kNobody) != 0) _exit(1);
    Cgroup("/user/c1", fs.root()).create();
    Cgroup("/other/c1", fs.root()).create();
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(path_exists(fs.root() + "/pids/user/c1"));
  EXPECT_FALSE(path_exists(fs.root() + "/memory/user"));
  EXPECT_FALSE(path_exists(fs.root() + "/pids/other"));
}

TEST(CgroupPath, Table) {
  struct Case {
    std::string path, id;
    bool systemd;
    std::string want;  // empty: refused
  };
  for (const Case& c : std::vector<Case>{
           {"/docker/abc", "x", false, "/docker/abc"},
           {"relative//a/./b/", "x", false, "/relative/a/b"},
           {"", "id1", false, "/husk/id1"},
           {"", "id1", true, "/system.slice/husk-id1.scope"},
           {"a-b.slice:crio:c1", "x", true, "/a.slice/a-b.slice/crio-c1.scope"},
           {"kubepods-burstable-pod1.slice:cri-containerd:c", "x", true,
            "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-c.scope"},
           {":docker:c", "x", true, "/system.slice/docker-c.scope"},
           {"-.slice:p:c", "x", true, "/p-c.scope"},
           {"a.slice::c", "x", true, "/a.slice/c.scope"},
           {"a.slice:p:b.slice", "x", true, "/a.slice/b.slice"},
           {"/a/../b", "x", false, ""},
           {"..", "x", false, ""},
           {"a.slice:p:../b", "x", true, ""},
           {"/a/b", "x", true, ""},
           {"a.slice:p:c:d", "x", true, ""},
           {"a--b.slice:p:c", "x", true, ""},
           {"-a.slice:p:c", "x", true, ""},
           {"a/b.slice:p:c", "x", true, ""},
           {"a.slice:p:", "x", true, ""},
           {"", "a/b", false, ""},
           {"", "..", false, ""},
           {"/a\nb", "x", false, ""},
       }) {
    SCOPED_TRACE(c.path);
    if (c.want.empty())
      EXPECT_EQ(kind_of([&] { cgroup_path(c.path, c.id, c.systemd); }), ErrorKind::kInvalid);
    else
      EXPECT_EQ(cgroup_path(c.path, c.id, c.systemd), c.want);
  }
}

TEST(CgroupConversion, Table) {
  EXPECT_EQ(cgroup::shares_to_weight(2), 1u);
  EXPECT_EQ(cgroup::shares_to_weight(1024), 39u);
  EXPECT_EQ(cgroup::shares_to_weight(262144), 10000u);
  EXPECT_EQ(cgroup::shares_to_weight(9999999), 10000u);
  EXPECT_EQ(cgroup::blkio_to_io_weight(10), 1u);
  EXPECT_EQ(cgroup::blkio_to_io_weight(500), 4950u);
  EXPECT_EQ(cgroup::blkio_to_io_weight(1000), 10000u);
}

struct LimitCase {
  const char* name;
  Files before;  // below the controller's mount (v1) or the group (v2)
  std::function<void(spec::Resources&)> set;
  Files after;
  size_t warnings = 0;
};

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
      for (const char* folder : {"c", "c/sub"}) fs.put(std::string(hierarchy) + folder + "/cgroup.procs", "");
    Cgroup("/c", fs.root()).add(77, parse_sub_cgroups(c.where));
    EXPECT_EQ(fs.get(std::string("memory/") + c.memory + "/cgroup.procs"), "77");
    EXPECT_EQ(fs.get(std::string("cpu,cpuacct/") + c.cpu + "/cgroup.procs"), "77");
    EXPECT_EQ(fs.get(std::string("pids/") + c.pids + "/cgroup.procs"), "77");
  }
  EXPECT_EQ(kind_of([&] { Cgroup("/c", fs.root()).add(77, parse_sub_cgroups({"whaat:sub"})); }),
            ErrorKind::kInvalid);
  EXPECT_EQ(kind_of([&] { parse_sub_cgroups({"memory:a/../.."}); }), ErrorKind::kInvalid);
}

TEST(Cgroup, TheRootIsLeftAlone) {
  FakeFs fs;
  fs.put("cgroup.controllers", "");
  fs.put("cgroup.kill", "");
  for (const char* path : {"/", "", ".", "//"}) {
    Cgroup group(path, fs.root());
    EXPECT_EQ(kind_of([&] { group.kill_all(SIGKILL); }), ErrorKind::kInvalid);
    EXPECT_EQ(kind_of([&] { group.freeze(true); }), ErrorKind::kInvalid);
    EXPECT_EQ(kind_of([&] { group.remove(milliseconds(1)); }), ErrorKind::kInvalid);
  }
  EXPECT_EQ(fs.get("cgroup.kill"), "");
  EXPECT_EQ(kind_of([&] { Cgroup("a/../b", fs.root()); }), ErrorKind::kInvalid);
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

// ---- devices ----

using Rules = std::vector<spec::DeviceCgroup>;

// Runs the few instructions that device_program uses.
bool run_program(const std::vector<bpf_insn>& program, uint32_t type, uint32_t access, uint32_t major,
                 uint32_t minor) {
  uint32_t context[3] = {access << 16 | type, major, minor};
  uint64_t r[10] = {};
  for (size_t pc = 0; pc < program.size(); ++pc) {
    const bpf_insn& i = program[pc];
    auto imm = static_cast<uint64_t>(static_cast<int64_t>(i.imm));
    switch (i.code) {
      case BPF_LDX | BPF_MEM | BPF_W:
        r[i.dst_reg] = context[i.off / 4];
        break;
      case BPF_ALU64 | BPF_MOV | BPF_X:
        r[i.dst_reg] = r[i.src_reg];
        break;
      case BPF_ALU64 | BPF_MOV | BPF_K:
        r[i.dst_reg] = imm;
        break;
      case BPF_ALU64 | BPF_AND | BPF_K:
        r[i.dst_reg] &= imm;
        break;
      case BPF_ALU64 | BPF_RSH | BPF_K:
        r[i.dst_reg] >>= imm;
        break;
      case BPF_JMP | BPF_JNE | BPF_K:
        pc += r[i.dst_reg] != imm ? i.off : 0;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        pc += r[i.dst_reg] & imm ? i.off : 0;
        break;
      case BPF_JMP | BPF_JA:
        pc += i.off;
        break;
      case BPF_JMP | BPF_EXIT:
        return r[0];
      default:
        ADD_FAILURE() << "instruction " << int(i.code);
        return false;
    }
  }
  ADD_FAILURE() << "no exit";
  return false;
}

TEST(CgroupDevices, Program) {
  constexpr uint32_t kB = BPF_DEVCG_DEV_BLOCK, kC = BPF_DEVCG_DEV_CHAR, kM = 1, kR = 2, kW = 4;
  struct Case {
    const char* name;
    Rules rules;
    uint32_t type, access, major, minor;
    bool allowed;
  };
  Rules deny_all = {{false, "a", {}, {}, "rwm"}};
  auto with = [](Rules rules, const Rules& more) {
    rules.insert(rules.end(), more.begin(), more.end());
    return rules;
  };
  Rules defaults = with(deny_all, default_device_rules());
  Rules pieces = with(deny_all, {{true, "c", 1, 3, "r"}, {true, "c", 1, 3, "w"}, {false, "c", 9, {}, "rwm"}});
  Rules hole = {{true, "a", {}, {}, "rwm"}, {false, "b", 8, {}, "w"}, {true, "b", 8, 1, "w"}};
  for (const Case& c : std::vector<Case>{
           {"null", defaults, kC, kR | kW, 1, 3, true},
           {"pts", defaults, kC, kR, 136, 77, true},
           {"tun", defaults, kC, kR | kW, 10, 200, true},
           {"kmsg", defaults, kC, kR, 1, 11, false},
           {"mknod of a disk", defaults, kB, kM, 8, 0, true},
           {"reading a disk", defaults, kB, kR, 8, 0, false},
           {"mknod and read", defaults, kB, kM | kR, 8, 0, false},
           {"two rules together", pieces, kC, kR | kW, 1, 3, true},
           {"not mknod", pieces, kC, kR | kW | kM, 1, 3, false},
           {"block is not char", pieces, kB, kR, 1, 3, false},
           {"default deny", {{true, "c", 1, 3, "rwm"}}, kC, kR, 1, 5, false},
           {"allow all", hole, kC, kR | kW | kM, 5, 5, true},
           {"hole", hole, kB, kW, 8, 0, false},
           {"hole, read", hole, kB, kR, 8, 0, true},
           {"island in the hole", hole, kB, kR | kW, 8, 1, true},
           {"typeless with numbers", with(deny_all, {{true, "", 8, {}, ""}}), kB, kR, 8, 3, true},
           {"typeless with numbers, other", with(deny_all, {{true, "", 8, {}, ""}}), kB, kR, 9, 3, false},
           {"-1 is any", with(deny_all, {{true, "c", -1, -1, "r"}}), kC, kR, 200, 3, true},
           {"a later deny all", with(defaults, deny_all), kC, kR, 1, 3, false},
       }) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(run_program(cgroup::device_program(c.rules), c.type, c.access, c.major, c.minor), c.allowed);
  }
  EXPECT_EQ(cgroup::device_program(with(default_device_rules(), deny_all)).size(), 6u + 2u);
  EXPECT_EQ(kind_of([] { cgroup::device_program({{true, "x", 1, 1, "r"}}); }), ErrorKind::kInvalid);
  EXPECT_EQ(kind_of([] { cgroup::device_program({{true, "c", 1, 1, "rx"}}); }), ErrorKind::kInvalid);
  EXPECT_EQ(kind_of([] { cgroup::device_program({{true, "c", 1ll << 40, 1, "r"}}); }), ErrorKind::kInvalid);
}

TEST(CgroupDevices, V1Writes) {
  using Writes = std::vector<std::pair<std::string, std::string>>;
  Rules deny_all = {{false, "a", {}, {}, "rwm"}};
  Rules null = {deny_all[0], {true, "c", 1, 3, "rw"}};
  EXPECT_EQ(cgroup::device_writes(null, "a *:* rwm\n"),
            (Writes{{"devices.deny", "a"}, {"devices.allow", "c 1:3 rw"}}));
  EXPECT_EQ(cgroup::device_writes(null, "c 1:3 rw\n"), Writes{});
  // What stays allowed is never taken away in between.
  EXPECT_EQ(cgroup::device_writes(null, "c 1:3 rm\nb *:* m\n"),
            (Writes{{"devices.allow", "c 1:3 w"}, {"devices.deny", "c 1:3 m"}, {"devices.deny", "b *:* m"}}));
  EXPECT_EQ(cgroup::device_writes({{true, "a", {}, {}, "rwm"}, {false, "b", 8, {}, "w"}}, "c 1:3 rw\n"),
            (Writes{{"devices.allow", "a"}, {"devices.deny", "b 8:* w"}}));
  EXPECT_EQ(cgroup::device_writes({deny_all[0], {true, "a", 8, 1, "r"}}, ""),
            (Writes{{"devices.allow", "b 8:1 r"}, {"devices.allow", "c 8:1 r"}}));
  // In the order of the rules, which is how devices.list shows them.
  EXPECT_EQ(cgroup::device_writes({deny_all[0], {true, "c", 10, 229, "rwm"}, {true, "b", 8, 0, "r"}}, ""),
            (Writes{{"devices.allow", "c 10:229 rwm"}, {"devices.allow", "b 8:0 r"}}));
  // A later, wider denial clears what it covers.
  EXPECT_EQ(cgroup::device_writes({null[0], null[1], {false, "c", 1, {}, "w"}}, ""),
            (Writes{{"devices.allow", "c 1:3 r"}}));
  EXPECT_EQ(kind_of([&] {
              cgroup::device_writes({deny_all[0], {true, "c", 1, {}, "rw"}, {false, "c", 1, 3, "w"}}, "");
            }),
            ErrorKind::kUnsupported);
}

// ---- the real thing ----

std::string unique_path(const char* what) {
  return std::string("/husk-test-") + what + "-" + std::to_string(getpid());
}

// A child that sleeps, or does what it is told once it is in the group.
class Sleeper {
 public:
  explicit Sleeper(std::function<int()> then = nullptr) {
    if (pipe2(gate_, O_CLOEXEC) != 0) abort();
    pid_ = fork();
    if (pid_ == 0) {
      char c;
      close(gate_[1]);
      if (then && read(gate_[0], &c, 1) == 1) _exit(then());
      for (;;) pause();
    }
  }
  ~Sleeper() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(gate_[0]);
    close(gate_[1]);
  }
  pid_t pid() const { return pid_; }
  void go() const { EXPECT_EQ(write(gate_[1], "x", 1), 1); }
  int wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }

 private:
  int gate_[2];
  pid_t pid_;
};

// {what, root}: everything this host has mounted, and its v2 alone.
class RealCgroup : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (getuid() != 0 || !path_exists(GetParam())) GTEST_SKIP() << "needs root and " << GetParam();
    for (const char* mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"})
      if (auto text = cgroup::read_control(mount, "cgroup.subtree_control")) before_[mount] = *text;
    try {
      Cgroup probe(unique_path("probe"), GetParam());
      if (probe.v2_folder().empty()) GTEST_SKIP() << "no cgroups";
      probe.create();
      probe.remove(seconds(1));
    } catch (const Error& e) {
      GTEST_SKIP() << e.what();
    }
  }
  void TearDown() override {
    // Controllers that only this test handed on.
    for (const auto& [mount, before] : before_) {
      std::string after = cgroup::read_control(mount, "cgroup.subtree_control").value_or("");
      for (std::string_view name : cgroup::split(cgroup::trim(after), ' '))
        if (before.find(name) == before.npos)
          cgroup::try_write_control(mount, "cgroup.subtree_control", "-" + std::string(name));
    }
  }
  Files before_;
};

TEST_P(RealCgroup, BirthFreezeKillRemove) {
  std::string path = unique_path("life");
  Cgroup group(path + "/leaf", GetParam()), parent(path, GetParam());
  group.create();
  group.create();
  Sleeper one, two;
  group.add(one.pid());
  group.add(two.pid());
  EXPECT_EQ(group.pids(),
            (std::vector<pid_t>{std::min(one.pid(), two.pid()), std::max(one.pid(), two.pid())}));
  EXPECT_EQ(parent.pids(), group.pids());
  std::string shown = read_file("/proc/" + std::to_string(one.pid()) + "/cgroup");
  EXPECT_NE(shown.find(path + "/leaf\n"), shown.npos);

  EXPECT_FALSE(group.frozen());
  group.freeze(true);
  EXPECT_TRUE(group.frozen());
  group.freeze(true);
  group.freeze(false);
  EXPECT_FALSE(group.frozen());

  EXPECT_EQ(kind_of([&] { group.remove(milliseconds(30)); }), ErrorKind::kTimeout);
  EXPECT_FALSE(group.stats().empty());

  group.freeze(true);
  group.kill_all(SIGKILL);
  EXPECT_EQ(WTERMSIG(one.wait()), SIGKILL);
  EXPECT_EQ(WTERMSIG(two.wait()), SIGKILL);
  parent.remove(seconds(5));
  parent.remove(seconds(5));
  EXPECT_FALSE(path_exists(parent.v2_folder()));
  EXPECT_EQ(kind_of([&] { group.add(getpid()); }), ErrorKind::kNotFound);
}

TEST_P(RealCgroup, RemoveWaitsForTheDying) {
  Cgroup group(unique_path("dying"), GetParam());
  group.create();
  Sleeper one;
  group.add(one.pid());
  std::thread killer([pid = one.pid()] {
    std::this_thread::sleep_for(milliseconds(100));
    kill(pid, SIGKILL);
  });
  group.remove(seconds(5));
  killer.join();
  EXPECT_FALSE(path_exists(group.v2_folder()));
}

TEST_P(RealCgroup, OtherSignals) {
  Cgroup group(unique_path("signal"), GetParam());
  group.create();
  Sleeper one;
  group.add(one.pid());
  group.kill_all(SIGTERM);
  EXPECT_EQ(WTERMSIG(one.wait()), SIGTERM);
  EXPECT_FALSE(group.frozen());
  group.remove(seconds(5));
}

TEST_P(RealCgroup, Devices) {
  Cgroup group(unique_path("devices"), GetParam());
  group.create();
  Rules rules = {{false, "a", {}, {}, "rwm"}, {true, "c", 1, 3, "r"}, {true, "c", 1, 5, "rw"}};
  try {
    group.apply_devices({{false, "a", {}, {}, "rwm"}});
    group.apply_devices(rules);
    group.apply_devices(rules);
  } catch (const Error& e) {
    group.remove(seconds(5));
    if (e.kind() == ErrorKind::kUnsupported) GTEST_SKIP() << e.what();
    throw;
  }
  Sleeper child([] {
    auto can = [](const char* path, int flags) { return open(path, flags | O_CLOEXEC) >= 0; };
    return (can("/dev/null", O_RDONLY) ? 1 : 0) | (can("/dev/null", O_WRONLY) ? 2 : 0) |
           (can("/dev/zero", O_RDWR) ? 4 : 0) | (can("/dev/full", O_RDONLY) ? 8 : 0) |
           (mknod("/tmp/husk-test-node", S_IFCHR | 0600, makedev(1, 3)) == 0 ? 16 : 0);
  });
  group.add(child.pid());
  child.go();
  int status = child.wait();
  unlink("/tmp/husk-test-node");
  EXPECT_EQ(WEXITSTATUS(status), 1 | 4);
  group.remove(seconds(5));
}

TEST_P(RealCgroup, Limits) {
  Cgroup group(unique_path("limits"), GetParam());
  group.create();
  spec::Resources r;
  r.memory = {.limit = 64 << 20, .reservation = 32 << 20, .swap = 96 << 20};
  r.cpu = spec::CpuResources{
      .shares = 512, .quota = 20000, .period = 50000, .burst = 1000, .cpus = "0", .mems = "0"};
  r.pids_limit = 30;
  for (const std::string& text : group.apply(r)) std::fprintf(stderr, "  warning: %s\n", text.c_str());
  nlohmann::json stats = group.stats();
  // On a host where v2 has no memory controller there is nothing to see.
  if (stats["memory"]["usage"]["limit"] != 0) {
    EXPECT_EQ(stats["memory"]["usage"]["limit"], 64 << 20);
    // Raising, lowering and lifting: each needs another order of writes on v1.
    r.memory = {.limit = 128 << 20, .swap = 200 << 20};
    r.cpu->burst = 25000;
    r.cpu->quota = 30000;
    group.apply(r);
    r.memory = {.limit = 32 << 20, .swap = 40 << 20};
    r.cpu->burst = 500;
    r.cpu->quota = 1000;
    group.apply(r);
    EXPECT_EQ(group.stats()["memory"]["usage"]["limit"], 32 << 20);
    r.memory = {.limit = -1};
    r.cpu->quota = -1;
    r.pids_limit = 0;
    group.apply(r);
    stats = group.stats();
    EXPECT_GT(stats["memory"]["usage"]["limit"], 1ull << 60);
    EXPECT_EQ(stats["pids"]["limit"], 0);
  }
  group.remove(seconds(5));
}

TEST_P(RealCgroup, OutOfMemory) {
  Cgroup group(unique_path("oom"), GetParam());
  group.create();
  spec::Resources r;
  r.memory = {.limit = 16 << 20, .swap = 16 << 20};
  if (!group.apply(r).empty()) {
    group.remove(seconds(5));
    GTEST_SKIP() << "no memory controller";
  }
  Sleeper child([] {
    for (std::string eaten;;) eaten.append(1 << 20, 'x');
    return 0;
  });
  group.add(child.pid());
  EXPECT_EQ(group.oom_kills(), 0u);
  child.go();
  EXPECT_EQ(WTERMSIG(child.wait()), SIGKILL);
  EXPECT_EQ(group.oom_kills(), 1u);
  group.remove(seconds(5));
}

// A container with an init like systemd moves itself into a child group and hands its controllers on; from
// then on the kernel lets no process into the group itself.
TEST_P(RealCgroup, JoiningASplitGroup) {
  Cgroup group(unique_path("split"), GetParam());
  group.create();
  std::string folder = group.v2_folder(), init = folder + "/init.scope";
  std::string have = cgroup::read_control(folder, "cgroup.controllers").value_or("");
  auto domain = [&](const char* name) { return have.find(name) != have.npos; };
  const char* controller = domain("memory") ? "+memory" : domain("hugetlb") ? "+hugetlb" : nullptr;
  if (!controller) {
    group.remove(seconds(5));
    GTEST_SKIP() << "v2 without a controller";
  }
  Sleeper one, two;
  EXPECT_EQ(group.birth_folder(), folder);
  group.add(one.pid());
  EXPECT_EQ(group.birth_folder(), folder);
  make_dirs(init);
  write_file(init + "/cgroup.procs", std::to_string(one.pid()));
  EXPECT_EQ(group.birth_folder(), init);
  write_file(folder + "/cgroup.subtree_control", controller);
  group.add(two.pid());
  EXPECT_NE(read_file(init + "/cgroup.procs").find(std::to_string(two.pid())), std::string::npos);
  group.kill_all(SIGKILL);
  group.remove(seconds(5));
  EXPECT_FALSE(path_exists(folder));
}

INSTANTIATE_TEST_SUITE_P(Host, RealCgroup, testing::Values("/sys/fs/cgroup", "/sys/fs/cgroup/unified"));

}  // namespace
}  // namespace husk
