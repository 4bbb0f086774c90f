// Cgroups: names and conversions, what an ordinary user has of them, the root.
#include "libcontainer/linux/cgroups.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcontainer/base/rootless.h"
#include "libcontainer/linux/cgroups_files.h"
#include "tests/linux/fake_cgroupfs.h"

namespace husk {
namespace {

using std::chrono::milliseconds;

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

TEST(Cgroup, IsWalkedHoweverDeepItIs) {
  constexpr size_t kDepth = 300;
  FakeFs fs;
  std::string folder = fs.root();
  for (size_t i = 0; i < kDepth; ++i) folder += "/d";
  make_dirs(folder);
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few{64, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &few);
  size_t visited = 0;
  cgroup::walk(fs.root(), [&](int parent, const char* name, int) {
    if (parent == AT_FDCWD) return;
    ++visited;
    EXPECT_EQ(unlinkat(parent, name, AT_REMOVEDIR), 0);
  });
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(visited, kDepth);
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

}  // namespace
}  // namespace husk
