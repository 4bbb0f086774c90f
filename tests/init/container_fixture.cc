#include "tests/init/container_fixture.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"

namespace husk::test {

using spec::NamespaceType;

InitProgram& husk_init() {
  static InitProgram program([] {
    if (const char* path = getenv("HUSK_INIT")) return std::string(path);
    std::string beside = path_join(program_dir(), "husk-init");
    return path_exists(beside) ? beside : path_join(dir_name(program_dir()), "bin/husk-init");
  }());
  return program;
}

void ContainerTest::SetUp() {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  if (!path_exists("/bin/busybox")) GTEST_SKIP() << "needs busybox-static";
  chmod(dir_.c_str(), 0755);
  rootfs_ = path_join(dir_, "rootfs");
  for (const char* folder : {"bin", "etc", "tmp", "proc", "sys", "dev", "home/user"})
    make_dirs(path_join(rootfs_, folder));
  std::ofstream(path_join(rootfs_, "bin/busybox")) << std::ifstream("/bin/busybox").rdbuf();
  chmod(path_join(rootfs_, "bin/busybox").c_str(), 0755);
  for (const char* applet :
       {"sh",  "true",  "cat",   "id", "ls",       "sleep", "hostname", "grep",  "stat", "tty",  "touch",
        "env", "mount", "mkdir", "ip", "readlink", "wc",    "uname",    "chmod", "stty", "test", "head"})
    (void)!symlink("busybox", path_join(rootfs_, std::string("bin/") + applet).c_str());
  write_file(path_join(rootfs_, "etc/passwd"),
             "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n", true, 0644);
}

void ContainerTest::TearDown() {
  if (rootfs_.empty()) return;
  // What runs in a container is in its own mount namespace: nothing may be mounted here.
  EXPECT_EQ(read_file("/proc/self/mounts").find(dir_), std::string::npos);
  remove_tree(dir_);
}

Request ContainerTest::request(std::vector<std::string> args) const {
  Request r;
  r.id = "test";
  r.rootfs = rootfs_;
  r.bundle = dir_;
  r.config.root.emplace().path = rootfs_;
  r.config.hostname = "box";
  spec::Process& p = r.config.process.emplace();
  p.args = std::move(args);
  p.env = {"PATH=/usr/bin:/bin"};
  p.cwd = "/";
  spec::Capabilities& caps = p.capabilities.emplace();
  caps.bounding = {"CAP_CHOWN", "CAP_KILL", "CAP_SETGID", "CAP_SETUID", "CAP_NET_BIND_SERVICE"};
  caps.permitted = caps.effective = caps.bounding;
  r.config.mounts = {
      {"/proc", "proc", "proc", {}, {}, {}},
      {"/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}, {}, {}},
      {"/dev/pts",
       "devpts",
       "devpts",
       {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"},
       {},
       {}},
      {"/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}, {}, {}},
      {"/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}, {}, {}},
      {"/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"}, {}, {}},
  };
  spec::Linux& l = r.config.linux_.emplace();
  for (NamespaceType type : {NamespaceType::kPid, NamespaceType::kNetwork, NamespaceType::kMount,
                             NamespaceType::kIpc, NamespaceType::kUts, NamespaceType::kCgroup})
    l.namespaces.push_back({type, ""});
  l.masked_paths = {"/proc/kcore",   "/proc/keys", "/proc/interrupts",
                    "/sys/firmware", "/proc/fs",   "/proc/nothing"};
  l.readonly_paths = {"/proc/sys", "/proc/bus"};
  return r;
}

Result ContainerTest::finish(InitProcess& process, UniqueFd out, UniqueFd err) {
  Result result;
  result.out = read_all(out.get(), 1 << 20, "stdout");
  result.err = read_all(err.get(), 1 << 20, "stderr");
  result.exit = wait_child(process.take_child(), std::chrono::seconds(20));
  return result;
}

InitProcess ContainerTest::create(const Request& r, const StdioFds& stdio) {
  return InitProcess::create(husk_init(), r, r.config, stdio);
}

Result ContainerTest::run(const Request& r) {
  auto [out, out_write] = make_pipe();
  auto [err, err_write] = make_pipe();
  InitProcess process = create(r, {-1, out_write.get(), err_write.get()});
  process.start();
  out_write.reset();
  err_write.reset();
  return finish(process, std::move(out), std::move(err));
}

Result ContainerTest::exec(pid_t target, const Request& container, const spec::Process& p) {
  auto [out, out_write] = make_pipe();
  auto [err, err_write] = make_pipe();
  ExecRequest r;
  r.target = target;
  InitProcess process =
      InitProcess::exec(husk_init(), r, p, container.config, {-1, out_write.get(), err_write.get()});
  process.start();
  out_write.reset();
  err_write.reset();
  return finish(process, std::move(out), std::move(err));
}

std::string ContainerTest::failure(const Request& r) {
  try {
    InitProcess process = create(r);
    Child child{process.pid(), dup_fd(process.pidfd())};
    try {
      process.start();
    } catch (...) {
      kill_and_reap(child);
      throw;
    }
    kill_and_reap(child);
    process.take_child();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace husk::test
