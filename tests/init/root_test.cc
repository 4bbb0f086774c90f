// A container's root: masks, devices, mounts, and that none of them leads out.
#include <sys/stat.h>
#include <unistd.h>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/init/init_process.h"
#include "tests/init/init_process_fixture.h"

namespace husk::test {
namespace {

TEST_F(InitProcessTest, MasksAndProtectsPaths) {
  Result r =
      run(script("wc -c < /proc/interrupts; ls -A /sys/firmware; ls -A /proc/fs; echo 1 > "
                 "/proc/sys/kernel/domainname; touch /sys/x"));
  EXPECT_EQ(r.out, "0\n") << r.err;
  EXPECT_TRUE(contains(r.err, "domainname: Read-only file system")) << r.err;
  EXPECT_TRUE(contains(r.err, "/sys/x: Read-only file system")) << r.err;
}

TEST_F(InitProcessTest, MaskedSymlinkDoesNotLeadOut) {
  make_dirs(dir_ + "/outside");
  write_file(dir_ + "/outside/file", "seen", true);
  ASSERT_EQ(symlink((dir_ + "/outside/file").c_str(), (rootfs_ + "/link").c_str()), 0);
  Request r = script("true");
  r.config.linux_->masked_paths.push_back("/link");
  EXPECT_EQ(run(r).exit.code, 0);
  EXPECT_EQ(read_file(dir_ + "/outside/file"), "seen");
}

TEST_F(InitProcessTest, ReadonlyRootfs) {
  Request r = script("touch /x; touch /tmp/y && echo tmp ok; touch /dev/z && echo dev ok");
  r.config.root->readonly = true;
  r.config.mounts.push_back({"/tmp", "tmpfs", "tmpfs", {"nosuid", "size=1m"}, {}, {}});
  Result result = run(r);
  EXPECT_EQ(result.out, "tmp ok\ndev ok\n");
  EXPECT_TRUE(contains(result.err, "/x: Read-only file system"));
}

TEST_F(InitProcessTest, MakesDevices) {
  Request r = script(
      "stat -c '%n %t:%T %a' /dev/null /dev/tty /dev/fuse; readlink /dev/fd; readlink /dev/ptmx; echo x > "
      "/dev/null");
  spec::Device fuse;
  fuse.path = "/dev/fuse";
  fuse.type = "c";
  fuse.major = 10;
  fuse.minor = 229;
  fuse.file_mode = 0600;
  r.config.linux_->devices.push_back(fuse);
  EXPECT_EQ(output(r), "/dev/null 1:3 666\n/dev/tty 5:0 666\n/dev/fuse a:e5 600\n/proc/self/fd\npts/ptmx\n");
}

TEST_F(InitProcessTest, ADeviceIsNotAnotherFile) {
  Request r = script("true");
  spec::Device device;
  device.path = "/bin/busybox";
  device.type = "c";
  device.major = 1;
  device.minor = 3;
  r.config.linux_->devices.push_back(device);
  try {
    run(r);
    FAIL() << "made";
  } catch (const Error& e) {
    EXPECT_EQ(e.message(), "making device /bin/busybox: another file is there");
  }
}

TEST_F(InitProcessTest, BindsFoldersAndFiles) {
  make_dirs(dir_ + "/data");
  write_file(dir_ + "/data/file", "content", true, 0644);
  Request r = script(
      "cat /data/file /etc/hosts; touch /data/new; touch /ro/new; grep -c ' /ro [a-z0-9]* ro,nosuid' "
      "/proc/mounts");
  r.config.mounts.push_back({"/data", "bind", dir_ + "/data", {"rbind", "rprivate"}, {}, {}});
  r.config.mounts.push_back({"/ro", "bind", dir_ + "/data", {"bind", "ro", "nosuid"}, {}, {}});
  r.config.mounts.push_back({"/etc/hosts", "bind", dir_ + "/data/file", {"bind"}, {}, {}});
  Result result = run(r);
  EXPECT_EQ(result.out, "contentcontent1\n");
  EXPECT_TRUE(contains(result.err, "/ro/new: Read-only file system")) << result.err;
  EXPECT_TRUE(path_exists(dir_ + "/data/new"));
}

TEST_F(InitProcessTest, MountDestinationDoesNotLeadOut) {
  make_dirs(dir_ + "/data");
  ASSERT_EQ(symlink("../../../../../../tmp/husk-escape", (rootfs_ + "/out").c_str()), 0);
  Request r = script("test -d /tmp/husk-escape/sub && echo inside");
  r.config.mounts.push_back({"/out/sub", "bind", dir_ + "/data", {"bind"}, {}, {}});
  make_dirs(rootfs_ + "/tmp/husk-escape");
  EXPECT_EQ(output(r), "inside\n");
  EXPECT_FALSE(path_exists("/tmp/husk-escape"));
}

TEST_F(InitProcessTest, RefusesMountsOverProc) {
  make_dirs(dir_ + "/data");
  Request r = request({"true"});
  r.config.mounts.push_back({"/proc/self", "bind", dir_ + "/data", {"bind"}, {}, {}});
  EXPECT_TRUE(contains(failure(r), "\"/proc/self\" cannot be mounted because it is inside /proc"))
      << failure(r);
  r.config.mounts.back().destination = "/proc";
  EXPECT_TRUE(contains(failure(r), "is not of type proc")) << failure(r);
}

TEST_F(InitProcessTest, RefusesProcBehindSymlink) {
  rmdir((rootfs_ + "/proc").c_str());
  ASSERT_EQ(symlink("tmp", (rootfs_ + "/proc").c_str()), 0);
  EXPECT_TRUE(contains(failure(request({"true"})), "ordinary directory"));
}

TEST_F(InitProcessTest, TmpfsKeepsModeAndCopiesUp) {
  make_dirs(rootfs_ + "/var/a", 0750);
  write_file(rootfs_ + "/var/a/file", "copied", true);
  ASSERT_EQ(symlink("file", (rootfs_ + "/var/a/link").c_str()), 0);
  Request r = script("cat /var/a/link; stat -c %a /var /var/a; touch /var/a/new");
  chmod((rootfs_ + "/var").c_str(), 0711);
  r.config.mounts.push_back({"/var", "tmpfs", "tmpfs", {"tmpcopyup"}, {}, {}});
  EXPECT_EQ(output(r), "copied711\n750\n");
  EXPECT_FALSE(path_exists(rootfs_ + "/var/a/new"));
}

}  // namespace
}  // namespace husk::test
