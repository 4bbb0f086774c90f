// The agent's own parts that need no VM: the reaper, and a process's streams (with plain pipes for a
// process).
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "agent/guest/guest_config.h"
#include "agent/guest/reaper.h"
#include "libcontainer/base/error.h"
#include "libcontainer/linux/process_list.h"

namespace husk::guest {
namespace {

Child run_shell(const std::string& script) {
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", script};
  return spawn(options);
}

// A Reaper takes every zombie of its process, so it gets a process of its own. (…DeathTest: before other
// tests have made threads, with which a fork is not for TSan.)
template <typename F>
int in_child(F&& f) {
  pid_t pid = fork();
  if (pid == 0) {
    alarm(20);
    _exit(f() ? 0 : 1);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  return status;
}

TEST(ReaperDeathTest, DeliversWhatIsWatchedAlsoWhileHeld) {
  EXPECT_EQ(in_child([] {
              auto* reaper = new Reaper;  // lives as long as the process
              std::promise<ExitStatus> first, second;
              Reaper::Hold outer(*reaper);
              {
                Reaper::Hold hold(*reaper);
                Child child = run_shell("exit 7");
                wait_pidfd(child.pidfd.get(), std::chrono::seconds(5));  // ended before it is registered
                reaper->watch(child.pid, [&](ExitStatus s) { first.set_value(s); });
              }
              bool ok = first.get_future().get().code == 7;
              Child child = run_shell("kill -9 $$");
              reaper->watch(child.pid, [&](ExitStatus s) { second.set_value(s); });
              return ok && second.get_future().get().signal == SIGKILL;
            }),
            0);
}

TEST(ReaperDeathTest, LeavesAHoldersChildrenAloneAndTakesOrphans) {
  EXPECT_EQ(in_child([] {
              prctl(PR_SET_CHILD_SUBREAPER, 1);
              auto* reaper = new Reaper;
              {
                Reaper::Hold hold(*reaper);
                for (int i = 0; i < 20; ++i) {
                  Child child = run_shell("exit 3");
                  usleep(2000);
                  if (wait_child(child, std::chrono::seconds(5)).code != 3) return false;
                }
                Child parent = run_shell("sleep 0.05 & exit 0");  // leaves an orphan to us
                wait_child(parent, std::chrono::seconds(5));
              }
              // Nothing is left once the orphan was reaped.
              for (int i = 0; i < 500; ++i, usleep(10000)) {
                siginfo_t info{};
                if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD) return true;
              }
              return false;
            }),
            0);
}

TEST(GuestConfig, KeepsWhatThisKernelHasToDo) {
  spec::Config config;
  config.process.emplace();
  config.root = spec::Root{"/run/husk/share/c1/rootfs", false};
  config.hooks.prestart.resize(1);
  config.hooks.create_container.resize(1);
  config.hooks.start_container.resize(2);
  config.linux_.emplace();
  NamedNamespaces named;
  SharedMemories memories;
  Volumes volumes;
  config.linux_->namespaces = {{spec::NamespaceType::kNetwork, "husk-ns:first"},
                               {spec::NamespaceType::kIpc, "husk:c0"},
                               {spec::NamespaceType::kPid, ""}};
  config.mounts.push_back({"/sock", "bind", "husk-socket:c1/0", {"rbind"}, {}, {}});
  auto find_init = [](const std::string& id) {
    EXPECT_EQ(id, "c0");
    return 42;
  };
  localize_config(config, find_init, named, memories, volumes);
  EXPECT_EQ(config.mounts[0].source, "/run/husk/socket/c1/0");
  ASSERT_EQ(config.linux_->namespaces.size(), 2u);
  EXPECT_EQ(config.linux_->namespaces[0].path, "/proc/42/ns/ipc");
  EXPECT_TRUE(config.hooks.prestart.empty() && config.hooks.create_container.empty());
  EXPECT_EQ(config.hooks.start_container.size(), 2u);
  config.root->path = "rootfs";
  EXPECT_THROW(localize_config(config, {}, named, memories, volumes), Error);
  config.process.reset();
  EXPECT_THROW(localize_config(config, {}, named, memories, volumes), Error);
}

TEST(NamedNamespaces, OneForEachKey) {
  if (geteuid() != 0) GTEST_SKIP() << "namespaces need root";
  NamedNamespaces named;
  using spec::NamespaceType;
  EXPECT_EQ(named.network("a"), -1);  // the guest's own
  EXPECT_EQ(named.path(NamespaceType::kNetwork, "a"), "");
  EXPECT_GE(named.network("b"), 0);
  std::string ipc = named.path(NamespaceType::kIpc, "a");
  EXPECT_EQ(named.path(NamespaceType::kIpc, "a"), ipc);
  EXPECT_NE(named.path(NamespaceType::kIpc, "b"), ipc);
  struct stat ours, theirs;
  ASSERT_TRUE(stat("/proc/self/ns/ipc", &ours) == 0 && stat(ipc.c_str(), &theirs) == 0);
  EXPECT_NE(ours.st_ino, theirs.st_ino);
  EXPECT_THROW(named.path(NamespaceType::kPid, "a"), Error);
  EXPECT_THROW(named.network(""), Error);
}

TEST(GuestConfig, TheCgroupStaysBelowTheRoot) {
  spec::Config config;
  EXPECT_EQ(guest_cgroup_path(config, "c1"), "/husk/c1");
  config.linux_.emplace();
  auto path = [&](const char* asked) {
    config.linux_->cgroups_path = asked;
    return guest_cgroup_path(config, "c1");
  };
  EXPECT_EQ(path("/docker/c1"), "/docker/c1");
  EXPECT_EQ(path("docker/c1"), "/docker/c1");
  EXPECT_THROW(path("/docker/../.."), Error);
  EXPECT_EQ(path("/"), "/husk/c1");
  EXPECT_EQ(path("system.slice:docker:c1"), "/system.slice/docker-c1.scope");
}

TEST(ProcessList, DescribesOneselfAndSkipsTheDead) {
  std::vector<ProcessInfo> list = describe_processes({getpid(), 0x3ffffff});
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].ppid, getppid());
  EXPECT_EQ(list[0].uid, getuid());
  EXPECT_NEAR(static_cast<double>(list[0].start_seconds), static_cast<double>(time(nullptr)), 600);
  EXPECT_FALSE(list[0].command.empty());
}

}  // namespace
}  // namespace husk::guest
