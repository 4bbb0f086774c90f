// InitProcess::exec(): a process more in a container that runs.
#include <unistd.h>

#include "libcontainer/base/error.h"
#include "libcontainer/init/init_process.h"
#include "tests/init/init_process_fixture.h"

namespace husk::test {
namespace {

using spec::NamespaceType;

class ExecTest : public InitProcessTest {
 protected:
  void start(const Request& r) {
    container_ = r;
    InitProcess p = create(r);
    p.start();
    child_ = p.take_child();
  }
  void TearDown() override {
    kill_and_reap(child_);
    InitProcessTest::TearDown();
  }
  Result sh(const std::string& text) {
    spec::Process p = *container_.config.process;
    p.args = {"sh", "-c", text};
    return exec(child_.pid, container_, p);
  }

  Request container_;
  Child child_;
};

TEST_F(ExecTest, SharesNamespacesWithTheContainer) {
  start(request({"sleep", "100"}));
  Result r = sh("hostname; ls / | wc -l; grep -c sleep /proc/1/cmdline; readlink /proc/self/ns/pid; exit 5");
  char ns[64] = {};
  ASSERT_GT(readlink(("/proc/" + std::to_string(child_.pid) + "/ns/pid").c_str(), ns, sizeof ns - 1), 0);
  EXPECT_EQ(r.out, std::string("box\n7\n1\n") + ns + "\n");
  EXPECT_EQ(r.exit.code, 5);
}

TEST_F(ExecTest, HasItsOwnUserAndCapabilities) {
  start(request({"sleep", "100"}));
  spec::Process p = *container_.config.process;
  p.args = {"sh", "-c", "id -u; pwd; grep CapEff /proc/self/status"};
  p.user.uid = 1000;
  p.cwd = "/tmp";
  EXPECT_EQ(exec(child_.pid, container_, p).out, "1000\n/tmp\nCapEff:\t0000000000000000\n");
}

TEST_F(ExecTest, FailsInRuncsWords) {
  start(request({"sleep", "100"}));
  auto message = [&](const std::string& name) -> std::string {
    spec::Process p = *container_.config.process;
    p.args = {name};
    try {
      exec(child_.pid, container_, p);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  EXPECT_EQ(message("foo"), "exec: \"foo\": executable file not found in $PATH");
  EXPECT_EQ(message("/x/y"), "exec: \"/x/y\": stat /x/y: no such file or directory");
  EXPECT_EQ(message("/etc/passwd"), "exec: \"/etc/passwd\": permission denied");
}

TEST_F(ExecTest, HasTheContainersFilter) {
  Request r = request({"sleep", "100"});
  spec::Seccomp& s = r.config.linux_->seccomp.emplace();
  s.default_action = "SCMP_ACT_ALLOW";
  s.syscalls.push_back({{"mkdir", "mkdirat"}, "SCMP_ACT_ERRNO", 28, {}});
  start(r);
  EXPECT_TRUE(contains(sh("mkdir /tmp/x").err, "No space left on device"));
}

TEST_F(ExecTest, HasATerminalOfTheContainer) {
  start(request({"sleep", "100"}));
  ExecRequest e;
  spec::Process process = *container_.config.process;
  process.args = {"sh", "-c", "tty; stty size; echo done"};
  process.terminal = true;
  process.console_size = {24, 80};
  e.target = child_.pid;
  InitProcess p = InitProcess::exec(husk_init(), e, process, container_.config, {});
  UniqueFd console = p.take_console();
  ASSERT_TRUE(console);
  p.start();
  EXPECT_EQ(read_until(console.get(), "done"), "/dev/pts/0\r\n24 80\r\ndone\r\n");
  EXPECT_EQ(wait_child(p.take_child(), std::chrono::seconds(5)).code, 0);
}

TEST_F(ExecTest, JoinsAUserNamespace) {
  Request r = request({"sleep", "100"});
  r.config.linux_->namespaces.push_back({NamespaceType::kUser, ""});
  r.config.linux_->uid_mappings = r.config.linux_->gid_mappings = {{0, 100000, 65536}};
  start(r);
  EXPECT_EQ(sh("id -u; cat /proc/self/uid_map").out, "0\n         0     100000      65536\n");
}

TEST_F(ExecTest, IntoWithoutPivotRoot) {
  Request r = request({"sleep", "100"});
  r.no_pivot = true;
  start(r);
  EXPECT_EQ(sh("ls / | wc -l").out, "7\n");
}

TEST_F(ExecTest, OfAGoneContainerFails) {
  start(request({"sleep", "100"}));
  pid_t pid = child_.pid;
  kill_and_reap(child_);
  EXPECT_THROW(exec(pid, container_, *container_.config.process), Error);
}

}  // namespace
}  // namespace husk::test
