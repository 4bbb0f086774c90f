// Cgroups of a real kernel: life and death, limits, devices (skipped without root).
#include "libcontainer/linux/cgroups.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "libcontainer/base/file.h"
#include "libcontainer/base/process.h"
#include "libcontainer/linux/cgroups_files.h"
#include "tests/linux/fake_cgroupfs.h"

// A limit names only what it sets.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace husk {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::string unique_path(const char* what) {
  return std::string("/husk-test-") + what + "-" + std::to_string(getpid());
}

// A child that sleeps, or does what it is told once it is in the group.
class Sleeper {
 public:
  explicit Sleeper(const std::function<int()>& then = nullptr) {
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

// Born in the v2 group, and not.
TEST_P(RealCgroup, ANewProcessJoinsByItself) {
  const std::string path = unique_path("self");
  Cgroup group(path, GetParam());
  group.create();
  const UniqueFd unified = group.open_unified();
  for (int birthplace : {unified.get(), -1}) {
    SpawnOptions o;
    o.argv = {"/bin/sleep", "60"};
    o.cgroup = birthplace;
    o.before_exec = [&] { group.add_self(); };
    Child child = spawn(o);
    EXPECT_EQ(group.pids(), std::vector<pid_t>{child.pid});
    const std::string text = read_file("/proc/" + std::to_string(child.pid) + "/cgroup");
    for (std::string_view line : cgroup::split(text, '\n'))
      EXPECT_TRUE(line.ends_with(path) || (group.v2_only() && !line.starts_with("0::"))) << line;
    kill_and_reap(child);
  }
  group.remove(seconds(5));
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
  std::vector<spec::DeviceCgroup> rules = {
      {false, "a", {}, {}, "rwm"}, {true, "c", 1, 3, "r"}, {true, "c", 1, 5, "rw"}};
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
