// Real containers of busybox on this host, through the door.
#include "libcontainer/host/host_backend.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/process.h"
#include "libcontainer/host/host_config.h"
#include "spec/codec.h"
#include "tests/base/temp_folder.h"

namespace husk::host {
namespace {

using spec::NamespaceType;

class HostTest : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    if (!path_exists("/bin/busybox")) GTEST_SKIP() << "needs busybox-static";
    for (const char* folder : {"bin", "proc", "dev"})
      make_dirs(path_join(dir_, std::string("rootfs/") + folder));
    const std::string busybox = path_join(dir_, "rootfs/bin/busybox");
    std::ofstream(busybox) << std::ifstream("/bin/busybox").rdbuf();
    chmod(busybox.c_str(), 0755);
    ref_ = {base_name(dir_), path_join(dir_, "folder")};
    make_dirs(ref_.folder, 0700);
    backend_ = make_host_backend({path_join(dir_name(program_dir()), "bin/husk-init")});
    config_.root.emplace().path = path_join(dir_, "rootfs");
    config_.process.emplace().cwd = "/";
    run("sleep 1000");
    config_.mounts = {{"/proc", "proc", "proc", {}, {}, {}}};
    config_.linux_.emplace();
    for (NamespaceType type :
         {NamespaceType::kPid, NamespaceType::kMount, NamespaceType::kNetwork, NamespaceType::kIpc})
      config_.linux_->namespaces.push_back({type, ""});
  }
  void TearDown() override {
    if (!backend_) return;
    backend_->remove(ref_);
    while (waitpid(-1, nullptr, WNOHANG) > 0) {
    }
    EXPECT_FALSE(path_exists("/sys/fs/cgroup/pids/husk/" + ref_.id));
    remove_tree(dir_);
  }

  void run(const std::string& script) { config_.process->args = {"/bin/busybox", "sh", "-c", script}; }
  pid_t create() {
    write_file(path_join(ref_.folder, "config.json"), spec::encode_config(config_).dump(), true);
    Backend::CreateArgs args;
    args.container = ref_;
    args.bundle = dir_;
    args.rootfs = config_.root->path;
    args.config = &config_;
    args.on_runtime_created = on_created_;
    return backend_->create(args);
  }
  std::string failure() {
    try {
      create();
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }
  static int exit_code(pid_t pid) {
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  TempFolder folder_;
  const std::string dir_ = folder_.path;
  ContainerRef ref_;
  spec::Config config_;
  std::unique_ptr<Backend> backend_;
  std::function<void(pid_t)> on_created_;
};

TEST_F(HostTest, FromCreateToRemove) {
  const pid_t pid = create();
  EXPECT_EQ(backend_->status(ref_), Status::kCreated);
  EXPECT_EQ(backend_->status(ref_), Status::kCreated);  // asking does not open the gate
  backend_->start(ref_, {});
  EXPECT_EQ(backend_->status(ref_), Status::kRunning);
  EXPECT_EQ(backend_->host_pids(ref_), std::vector<pid_t>{pid});
  EXPECT_THROW(backend_->start(ref_, {}), Error);
  backend_->pause(ref_);
  EXPECT_EQ(backend_->status(ref_), Status::kPaused);
  backend_->resume(ref_);
  backend_->kill(ref_, SIGKILL, false);
  EXPECT_EQ(exit_code(pid), 128 + SIGKILL);
  EXPECT_EQ(backend_->status(ref_), Status::kStopped);
  EXPECT_THROW(backend_->kill(ref_, SIGTERM, false), Error);
  backend_->remove(ref_);
  backend_->remove(ref_);
}

TEST_F(HostTest, ExitCodeAndExec) {
  create();
  backend_->start(ref_, {});
  spec::Process process = *config_.process;
  process.args = {"/bin/busybox", "sh", "-c", "exit 9"};
  Backend::ExecArgs args;
  args.container = ref_;
  args.process = &process;
  EXPECT_EQ(exit_code(backend_->exec(args)), 9);
  process.args = {"/nothing"};
  EXPECT_THROW(backend_->exec(args), Error);
}

TEST_F(HostTest, AnErrorOfExecReachesStart) {
  write_file(path_join(dir_, "rootfs/bin/text"), "\x7f not a program", true, 0755);
  config_.process->args = {"/bin/text"};
  const pid_t pid = create();
  try {
    backend_->start(ref_, {});
    ADD_FAILURE() << "start should fail";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("exec format error"), std::string::npos) << e.what();
  }
  EXPECT_EQ(exit_code(pid), 1);
}

TEST_F(HostTest, AFailedHookLeavesNothing) {
  pid_t seen = 0;
  on_created_ = [&](pid_t pid) {
    seen = pid;
    throw Error(ErrorKind::kInternal, "the hook");
  };
  EXPECT_EQ(failure(), "the hook");
  EXPECT_EQ(process_start_time(seen), 0u);
}

TEST_F(HostTest, SysctlsOfTheHostAreRefused) {
  config_.linux_->sysctl = {{"kernel.msgmax", "8192"}, {"net.ipv4.ip_forward", "1"}};
  EXPECT_NO_THROW(check_for_host(config_));
  for (const char* name : {"kernel.pid_max", "vm.swappiness", "kernel.domainname"}) {
    config_.linux_->sysctl = {{name, "1"}};
    EXPECT_THROW(check_for_host(config_), Error) << name;
  }
  config_.linux_->namespaces[2].path = "/proc/self/ns/net";
  config_.linux_->sysctl = {{"net.ipv4.ip_forward", "1"}};
  EXPECT_THROW(check_for_host(config_), Error);
}

TEST_F(HostTest, ACgroupInUseIsRefused) {
  config_.linux_->cgroups_path = "/";
  EXPECT_NE(failure(), "");
}

}  // namespace
}  // namespace husk::host
