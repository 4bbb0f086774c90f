#include "libcontainer/init/init_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "tests/init/init_process_fixture.h"

namespace husk::test {
namespace {

using spec::NamespaceType;

TEST_F(InitProcessTest, RunsTrue) {
  Result r = run(request({"true"}));
  EXPECT_EQ(r.exit.code, 0);
  EXPECT_EQ(r.out + r.err, "");
}

TEST_F(InitProcessTest, ReportsExitCodeAndSignal) {
  EXPECT_EQ(run(script("exit 7")).exit.code, 7);
  EXPECT_EQ(run(script("exec sleep 0; kill -9 $$")).exit.code, 0);
}

TEST_F(InitProcessTest, WritesToPipes) {
  Result r = run(script("echo out; echo err >&2"));
  EXPECT_EQ(r.out, "out\n");
  EXPECT_EQ(r.err, "err\n");
}

// In a message, in a memfd, and around the border between them.
TEST_F(InitProcessTest, TakesARequestOfAnySize) {
  for (size_t count : {0u, 240u, 260u, 4000u}) {
    Request r = script("env | grep -c ^X");
    for (size_t i = 0; i < count; ++i)
      r.config.process->env.push_back("X" + std::to_string(i) + "=" + std::string(120, 'x'));
    EXPECT_EQ(output(r), std::to_string(count) + "\n");
  }
}

TEST_F(InitProcessTest, StartsOnlyAtStart) {
  Request r = script("echo started > /tmp/mark");
  InitProcess p = create(r);
  EXPECT_FALSE(path_exists(rootfs_ + "/tmp/mark"));
  p.start();
  EXPECT_THROW(p.start(), Error);
  EXPECT_EQ(wait_child(p.take_child(), std::chrono::seconds(10)).code, 0);
  EXPECT_TRUE(path_exists(rootfs_ + "/tmp/mark"));
}

TEST_F(InitProcessTest, HasNamespacesOfItsOwn) {
  EXPECT_EQ(output(script("hostname; echo $$; echo /proc/[0-9]*; ip link | grep -c ': lo: .*UP'")),
            "box\n1\n/proc/1\n1\n");
}

TEST_F(InitProcessTest, SeesOnlyItsRoot) {
  EXPECT_EQ(output(script(
                "ls /; ls -d /../..; cat /proc/self/mounts | wc -l >/dev/null; grep -c vda /proc/mounts")),
            "bin\ndev\netc\nhome\nproc\nsys\ntmp\n/../..\n1\n");
}

TEST_F(InitProcessTest, HasOnlyItsFds) {
  EXPECT_EQ(output(script("exec ls /proc/self/fd")), "0\n1\n2\n3\n");
}

TEST_F(InitProcessTest, PreservesFds) {
  auto [read_end, write_end] = make_pipe();
  write_all(write_end.get(), "kept", "write");
  write_end.reset();
  Request r = script("cat <&4; ls /proc/self/fd | wc -l");
  UniqueFd other = open_file("/dev/null", O_RDONLY);
  r.preserve_fds = {other.get(), read_end.get()};
  EXPECT_EQ(output(r), "kept6\n");
}

TEST_F(InitProcessTest, HasExactlyItsCapabilities) {
  std::string status = output(script("grep -E 'Cap|NoNewPrivs' /proc/self/status"));
  EXPECT_TRUE(contains(status, "CapPrm:\t00000000000004e1")) << status;
  EXPECT_TRUE(contains(status, "CapEff:\t00000000000004e1")) << status;
  EXPECT_TRUE(contains(status, "CapBnd:\t00000000000004e1")) << status;
  EXPECT_TRUE(contains(status, "CapInh:\t0000000000000000")) << status;
  EXPECT_TRUE(contains(status, "NoNewPrivs:\t0")) << status;
}

TEST_F(InitProcessTest, KeepsAmbientCapabilitiesOverSetuid) {
  Request r = script("grep Cap /proc/self/status");
  r.config.process->user.uid = 1000;
  spec::Capabilities& caps = *r.config.process->capabilities;
  caps.inheritable = caps.ambient = {"CAP_NET_BIND_SERVICE"};
  std::string status = output(r);
  EXPECT_TRUE(contains(status, "CapEff:\t0000000000000400")) << status;
  EXPECT_TRUE(contains(status, "CapAmb:\t0000000000000400")) << status;
  r.config.process->capabilities.reset();
  EXPECT_TRUE(contains(output(r), "CapBnd:\t0000000000000000"));
}

TEST_F(InitProcessTest, SetsUserGroupsUmaskAndHome) {
  Request r = script("id -u; id -g; id -G; umask; echo $HOME");
  EXPECT_EQ(output(r), "0\n0\n0\n0022\n/root\n");
  spec::User& user = r.config.process->user;
  user.uid = user.gid = 1000;
  user.additional_gids = {5, 6};
  user.umask = 0077;
  EXPECT_EQ(output(r), "1000\n1000\n1000 5 6\n0077\n/home/user\n");
  user.uid = 4711;
  EXPECT_TRUE(contains(output(r), "\n/\n"));
  r.config.process->env.push_back("HOME=/x");
  EXPECT_TRUE(contains(output(r), "\n/x\n"));
}

TEST_F(InitProcessTest, OfWhatIsSetTwiceTheLastOneCounts) {
  Request r = request({"/bin/busybox", "env"});
  r.config.process->env = {"A=1", "PATH=/bin", "A=2", "HOME=/h", "AA=3"};
  EXPECT_EQ(output(r), "PATH=/bin\nA=2\nHOME=/h\nAA=3\n");
}

TEST_F(InitProcessTest, UserMayReopenItsStdout) {
  Request r = script("echo again > /dev/stdout");
  r.config.process->user.uid = 1000;
  EXPECT_EQ(output(r), "again\n");
}

TEST_F(InitProcessTest, AppliesNoNewPrivilegesAndSeccomp) {
  for (bool nnp : {false, true}) {
    Request r = script("grep -E 'NoNewPrivs|Seccomp:' /proc/self/status; mkdir /tmp/x; chmod 1 /tmp");
    r.config.process->no_new_privileges = nnp;
    spec::Seccomp& s = r.config.linux_->seccomp.emplace();
    s.default_action = "SCMP_ACT_ALLOW";
    s.syscalls.push_back({{"mkdir", "mkdirat", "no_such_call"}, "SCMP_ACT_ERRNO", 28, {}});
    s.syscalls.push_back({{"chmod", "fchmodat"}, "SCMP_ACT_ERRNO", {}, {}});
    for (int round = 0; round < 2; ++round) {  // the second takes the filter from the cache
      Result result = run(r);
      EXPECT_EQ(result.out, std::string("NoNewPrivs:\t") + (nnp ? "1" : "0") + "\nSeccomp:\t2\n");
      EXPECT_TRUE(contains(result.err, "No space left on device")) << result.err;
      EXPECT_TRUE(contains(result.err, "Operation not permitted")) << result.err;
    }
  }
}

// Profiles that are older than these calls, or that mean to forbid them, are no obstacle to a start.
TEST_F(InitProcessTest, NeedsNoNewCallsUnderTheFilter) {
  for (bool nnp : {false, true}) {
    Request r = request({"/bin/true"});
    r.config.process->no_new_privileges = nnp;
    spec::Seccomp& s = r.config.linux_->seccomp.emplace();
    s.default_action = "SCMP_ACT_ALLOW";
    s.syscalls.push_back({{"close_range", "faccessat2", "getcwd", "pidfd_open", "clone3", "memfd_create"},
                          "SCMP_ACT_ERRNO",
                          {},
                          {}});
    r.config.hooks.start_container.emplace_back().path = "/bin/true";
    EXPECT_EQ(run(r).exit.code, 0);
  }
}

TEST_F(InitProcessTest, StartContainerHooksRunUnderTheFilter) {
  for (bool nnp : {false, true}) {
    Request r = request({"true"});
    r.config.process->no_new_privileges = nnp;
    spec::Seccomp& s = r.config.linux_->seccomp.emplace();
    s.default_action = "SCMP_ACT_ALLOW";
    s.syscalls.push_back({{"mkdir", "mkdirat"}, "SCMP_ACT_KILL_PROCESS", {}, {}});
    spec::Hook& hook = r.config.hooks.start_container.emplace_back();
    hook.path = "/bin/sh";
    hook.args = {"sh", "-c", "exec mkdir /tmp/x"};
    EXPECT_TRUE(contains(failure(r), "error running hook #0 /bin/sh: signal: bad system call")) << failure(r);
  }
}

TEST_F(InitProcessTest, RefusesSeccompNotify) {
  Request r = request({"true"});
  spec::Seccomp& s = r.config.linux_->seccomp.emplace();
  s.default_action = "SCMP_ACT_ALLOW";
  s.syscalls.push_back({{"mkdir"}, "SCMP_ACT_NOTIFY", {}, {}});
  EXPECT_TRUE(contains(failure(r), "SCMP_ACT_NOTIFY is not supported"));
}

TEST_F(InitProcessTest, SetsLimitsAndSysctls) {
  Request r = script("ulimit -n; ulimit -c; cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj");
  r.config.process->rlimits = {{"RLIMIT_NOFILE", 512, 256}, {"RLIMIT_CORE", 0, 0}};
  r.config.process->oom_score_adj = 321;
  r.config.linux_->sysctl = {{"net.ipv4.ip_forward", "1"}};
  EXPECT_EQ(output(r), "256\n0\n1\n321\n");
}

TEST_F(InitProcessTest, SetsSchedulerAndPersonality) {
  Request r = script("uname -m; grep policy /proc/self/sched");
  r.config.process->scheduler.emplace().policy = "SCHED_BATCH";
  r.config.linux_->personality.emplace().domain = "LINUX32";
  std::string text = output(r);
  EXPECT_TRUE(contains(text, "i686")) << text;
}

TEST_F(InitProcessTest, MakesTheWorkingFolder) {
  Request r = script("pwd");
  r.config.process->cwd = "/srv/here";
  EXPECT_EQ(output(r), "/srv/here\n");
  r.config.process->cwd = "/bin/busybox";
  EXPECT_NE(failure(r), "");
}

TEST_F(InitProcessTest, FolderOfALeakedFdIsRefused) {
  Request r = request({"true"});
  r.config.process->cwd = "/proc/self/fd/3";  // CVE-2024-21626
  UniqueFd outside = open_file("/tmp", O_RDONLY | O_DIRECTORY);
  r.preserve_fds = {outside.get()};
  EXPECT_NE(failure(r), "");
}

TEST_F(InitProcessTest, UnknownProgramFailsAtCreateInRuncsWords) {
  auto create_failure = [&](const Request& r) -> std::string {
    try {
      InitProcess p = create(r);
      Child child = p.take_child();
      kill_and_reap(child);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(create_failure(request({"foo"})), "exec: \"foo\": executable file not found in $PATH");
  EXPECT_EQ(create_failure(request({"/x"})), "exec: \"/x\": stat /x: no such file or directory");
  EXPECT_EQ(create_failure(request({"/etc/passwd"})), "exec: \"/etc/passwd\": permission denied");
  EXPECT_EQ(create_failure(request({"/etc"})), "exec: \"/etc\": is a directory");
}

TEST_F(InitProcessTest, ExecFormatErrorFailsAtStart) {
  write_file(rootfs_ + "/bin/broken",
             "\x7f"
             "nothing",
             true, 0755);
  EXPECT_EQ(failure(request({"/bin/broken"})), "exec /bin/broken: exec format error");
}

TEST_F(InitProcessTest, AnAbandonedGateLeavesNothing) {
  Child child;
  {
    InitProcess p = create(request({"sleep", "100"}));
    child = p.take_child();
  }
  EXPECT_EQ(wait_child(child, std::chrono::seconds(5)).code, 1);
}

TEST_F(InitProcessTest, ACreatedContainerCanBeTerminated) {
  InitProcess p = create(request({"true"}));
  kill(p.pid(), SIGTERM);
  EXPECT_EQ(wait_child(p.take_child(), std::chrono::seconds(5)).shell_code(), 128 + SIGTERM);
}

TEST_F(InitProcessTest, HasATerminal) {
  Request r = script(
      "tty; stty size; test -t 1 && echo terminal; echo hello > /dev/console; echo x > /dev/tty; echo done");
  r.config.process->terminal = true;
  r.config.process->console_size = {40, 100};
  InitProcess p = create(r);
  UniqueFd console = p.take_console();
  ASSERT_TRUE(console);
  p.start();
  EXPECT_EQ(read_until(console.get(), "done"), "/dev/pts/0\r\n40 100\r\nterminal\r\nhello\r\nx\r\ndone\r\n");
  EXPECT_EQ(wait_child(p.take_child(), std::chrono::seconds(5)).code, 0);
}

TEST_F(InitProcessTest, StartContainerHooksGetTheState) {
  Request r = request({"cat", "/tmp/state"});
  spec::Hook hook;
  hook.path = "/bin/sh";
  hook.args = {"sh", "-c", "cat > /tmp/state; echo $X >> /tmp/state"};
  hook.env = {"X=env", "PATH=/bin"};
  r.config.hooks.start_container.push_back(hook);
  std::string text = output(r);
  EXPECT_TRUE(contains(text, "\"id\":\"test\"")) << text;
  EXPECT_TRUE(contains(text, "\"pid\":1")) << text;
  EXPECT_TRUE(contains(text, "env\n")) << text;
  r.config.hooks.start_container[0].args[2] = "echo no; exit 3";
  EXPECT_EQ(failure(r), "error running hook #0 /bin/sh: exit status 3, output: no\\x0a");
  r.config.hooks.start_container[0].args[2] = "sleep 10";
  r.config.hooks.start_container[0].timeout = 1;
  EXPECT_EQ(failure(r), "error running hook #0 /bin/sh: no end after 1 s");
}

TEST_F(InitProcessTest, CreateContainerHooksStandInTheRoot) {
  Request r = request({"cat", "/tmp/where"});
  spec::Hook& hook = r.config.hooks.create_container.emplace_back();
  hook.path = "/bin/sh";
  hook.args = {"sh", "-c", "pwd > tmp/where"};
  EXPECT_EQ(output(r), rootfs_ + "\n");
}

TEST_F(InitProcessTest, UserNamespace) {
  Request r = script(
      "id -u; cat /proc/self/uid_map; stat -c %u /etc/passwd; echo x > /dev/null && echo null; grep CapEff "
      "/proc/self/status");
  r.config.linux_->namespaces.push_back({NamespaceType::kUser, ""});
  r.config.linux_->uid_mappings = r.config.linux_->gid_mappings = {{0, 100000, 65536}};
  Result result = run(r);
  EXPECT_EQ(result.out, "0\n         0     100000      65536\n65534\nnull\nCapEff:\t00000000000004e1\n")
      << result.err;
}

TEST_F(InitProcessTest, JoinsANamespaceByPath) {
  Request r = script("readlink /proc/self/ns/net");
  for (spec::Namespace& ns : r.config.linux_->namespaces)
    if (ns.type == NamespaceType::kNetwork) ns.path = "/proc/self/ns/net";
  char own[64] = {};
  ASSERT_GT(readlink("/proc/self/ns/net", own, sizeof own - 1), 0);
  EXPECT_EQ(output(r), std::string(own) + "\n");
}

TEST_F(InitProcessTest, TimeNamespace) {
  Request r = script("head -n 2 /proc/self/timens_offsets");
  r.config.linux_->namespaces.push_back({NamespaceType::kTime, ""});
  r.config.linux_->time_offsets["boottime"] = {1000, 0};
  EXPECT_TRUE(contains(output(r), "1000"));
}

TEST_F(InitProcessTest, IsBornInItsCgroup) {
  std::string folder = "/sys/fs/cgroup/unified/husk-init-test";
  if (!path_exists("/sys/fs/cgroup/unified") || (mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST))
    GTEST_SKIP() << "no writable cgroup v2";
  Request r = script("grep '^0::' /proc/self/cgroup; ls /sys/fs/cgroup | grep -c cgroup.procs");
  r.cgroup = folder;
  r.config.mounts.push_back({"/sys/fs/cgroup", "cgroup2", "cgroup", {"ro", "nosuid"}, {}, {}});
  EXPECT_EQ(output(r), "0::/\n1\n");
  std::erase_if(r.config.linux_->namespaces,
                [](const auto& ns) { return ns.type == NamespaceType::kCgroup; });
  EXPECT_EQ(output(r), "0::/husk-init-test\n1\n");
  rmdir(folder.c_str());
  EXPECT_FALSE(path_exists(folder));
}

TEST_F(InitProcessTest, WithoutPivotRoot) {
  Request r = script("ls / | wc -l; hostname");
  r.no_pivot = true;
  EXPECT_EQ(output(r), "7\nbox\n");
}

TEST_F(InitProcessTest, WithoutAnyNamespaceListed) {
  Request r = script("ls / | wc -l");
  r.config.linux_->namespaces.clear();
  std::erase_if(r.config.mounts, [](const auto& m) { return m.type == "mqueue"; });
  EXPECT_EQ(output(r), "7\n");
}

}  // namespace
}  // namespace husk::test
