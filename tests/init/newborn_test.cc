// A container whose first process was born before anybody asked for it.
#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "tests/init/init_process_fixture.h"

namespace husk::test {
namespace {

using spec::NamespaceType;

class NewbornTest : public InitProcessTest {
 protected:
  // In the guest, where the network is the VM's.
  Request in_guest(const std::string& text) const {
    Request r = script(text);
    drop(r, NamespaceType::kNetwork);
    return r;
  }
  static void drop(Request& r, NamespaceType type) {
    std::erase_if(r.config.linux_->namespaces, [=](const auto& ns) { return ns.type == type; });
  }
  static pid_t prepare() {
    prepare_birth(husk_init(), "");
    std::optional<InitProgram::Waiting> newborn = husk_init().take_newborn("");
    if (!newborn) return -1;
    const pid_t pid = newborn->child.pid;
    husk_init().keep_newborn("", std::move(*newborn));
    return pid;
  }
};

TEST_F(NewbornTest, BecomesTheContainersFirstProcess) {
  const pid_t newborn = prepare();
  auto [out, out_write] = make_pipe();
  auto [err, err_write] = make_pipe();
  InitProcess p =
      create(in_guest("hostname; echo $$; echo /proc/[0-9]*; id -u"), {-1, out_write.get(), err_write.get()});
  EXPECT_EQ(p.pid(), newborn);
  p.start();
  out_write.reset();
  err_write.reset();
  const Result r = finish(p, std::move(out), std::move(err));
  EXPECT_EQ(r.out, "box\n1\n/proc/1\n0\n");
  EXPECT_EQ(r.exit.code, 0);
}

TEST_F(NewbornTest, SeesWhatWasMountedSince) {
  prepare();
  const std::string folder = path_join(rootfs_, "tmp");
  ASSERT_EQ(mount("tmpfs", folder.c_str(), "tmpfs", 0, nullptr), 0);
  write_file(path_join(folder, "later"), "here", true, 0644);
  Request r = in_guest("cat /mnt/later");
  r.config.mounts.push_back({"/mnt", "bind", folder, {"rbind"}, {}, {}});
  EXPECT_EQ(output(r), "here");
  EXPECT_EQ(umount(folder.c_str()), 0);
}

TEST_F(NewbornTest, LeavesNoOtherMountOutside) {
  prepare();
  EXPECT_EQ(output(in_guest("mount | grep -c ' /proc '")), "1\n");
  EXPECT_EQ(read_file("/proc/self/mounts").find(rootfs_), std::string::npos);
}

TEST_F(NewbornTest, GoesWhereTheContainerIsAnother) {
  std::vector<std::pair<std::string, void (*)(Request&)>> others = {
      {"a network of its own",
       [](Request& r) {
         r.config.linux_->namespaces.push_back({NamespaceType::kNetwork, ""});
       }},
      {"the VM's IPC", [](Request& r) { drop(r, NamespaceType::kIpc); }},
      {"a joined UTS namespace",
       [](Request& r) {
         drop(r, NamespaceType::kUts);
         r.config.linux_->namespaces.push_back({NamespaceType::kUts, "/proc/self/ns/uts"});
         r.config.hostname.clear();
       }},
      {"the VM's name", [](Request& r) { r.config.hostname.clear(); }},
  };
  for (const auto& [what, change] : others) {
    SCOPED_TRACE(what);
    const pid_t newborn = prepare();
    Request r = in_guest("exit 3");
    std::erase_if(r.config.mounts, [](const auto& m) { return m.type == "mqueue"; });
    change(r);
    InitProcess p = create(r);
    EXPECT_NE(p.pid(), newborn);
    EXPECT_EQ(kill(newborn, 0), -1);
    p.start();
    EXPECT_EQ(wait_child(p.take_child(), std::chrono::seconds(10)).code, 3);
  }
}

TEST_F(NewbornTest, TellsWhatWentWrong) {
  prepare();
  Request r = in_guest("");
  r.config.process->args = {"nonexistent"};
  EXPECT_TRUE(contains(failure(r), "exec: \"nonexistent\": executable file not found in $PATH"));
  prepare();
  r = in_guest("true");
  r.config.mounts.push_back({"/proc/self", "bind", "/tmp", {"rbind"}, {}, {}});
  EXPECT_TRUE(contains(failure(r), "/proc"));
}

TEST_F(NewbornTest, IsForOneContainerAndOneCgroup) {
  const pid_t newborn = prepare();
  EXPECT_FALSE(husk_init().take_newborn("/another"));
  InitProcess first = create(in_guest("true")), second = create(in_guest("true"));
  EXPECT_EQ(first.pid(), newborn);
  EXPECT_NE(second.pid(), newborn);
  for (InitProcess* p : {&first, &second}) {
    p->start();
    EXPECT_EQ(wait_child(p->take_child(), std::chrono::seconds(10)).code, 0);
  }
}

TEST_F(NewbornTest, MayHaveEndedMeanwhile) {
  const pid_t newborn = prepare();
  kill(newborn, SIGKILL);
  ASSERT_EQ(waitpid(newborn, nullptr, 0), newborn);
  EXPECT_EQ(output(in_guest("echo $$")), "1\n");
}

}  // namespace
}  // namespace husk::test
