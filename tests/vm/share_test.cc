#include "vm/share/share.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "tests/base/temp_folder.h"
#include "tests/vm/in_child.h"

namespace husk::vm {
namespace {

constexpr const char* kVirtiofsd = "/usr/lib/qemu/virtiofsd";

class ShareTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "mounts need root";
    if (access(kVirtiofsd, X_OK) != 0) GTEST_SKIP() << kVirtiofsd << " is not installed";
    make_dirs(config.folder);
    make_dirs(folder / "data/sub");
    write_file(folder / "data/file", "hello", true);
  }
  std::unique_ptr<Share> start() { return Share::start(config); }

  TempFolder folder;
  ShareConfig config{kVirtiofsd, "auto", folder / "share"};
};

bool can_create(const std::string& path) {
  int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

template <typename F>
ErrorKind kind_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.kind();
  }
  throw Error(ErrorKind::kInternal, "expected an error");
}

TEST_F(ShareTest, BindsFoldersAndFiles) {
  EXPECT_EQ(in_child([&] {
              auto share = start();
              require(Share::guest_path("c1", "1") == std::string(Share::kGuestRoot) + "/c1/1", "its path");
              share->add("c1", "rootfs", clone_for_share(folder / "data", {}));
              share->add("c1", "1", clone_for_share(folder / "data/file", {}));
              require(read_file(folder / "share/c1/rootfs/file") == "hello", "the folder's file");
              require(read_file(folder / "share/c1/1") == "hello", "the file");
              require(can_create(folder / "share/c1/rootfs/new"), "a writable bind");
              share->remove("c1");
              require(!path_exists(folder / "share/c1"), "all gone");
              require(path_exists(folder / "data/file"), "the source untouched");
              share->remove("c1");  // again: nothing to do
            }),
            "");
}

TEST_F(ShareTest, AVolumeOfTwoContainersIsOneMount) {
  EXPECT_EQ(
      in_child([&] {
        auto share = start();
        const std::string name = volume_name(folder / "data", {false, false});
        const std::string path = Share::guest_path("c1", name);
        require(path == Share::guest_path("c2", name), "one path for both");
        require(name != volume_name(folder / "data/sub", {false, false}), "another folder is another one");
        require(name != volume_name(folder / "data", {true, false}), "a read-only one is, too");
        const std::string here = config.folder + path.substr(strlen(Share::kGuestRoot));
        for (const char* container : {"c1", "c2", "c1"})
          share->add(container, name, clone_for_share(folder / "data", {}));
        require(read_file(here + "/file") == "hello", "its file");
        share->remove("c1");
        require(read_file(here + "/file") == "hello", "as long as somebody has it");
        share->remove("c2");
        require(!path_exists(here), "then it goes");
        share->add("c3", name, clone_for_share(folder / "data", {}));
        require(read_file(here + "/file") == "hello", "and may come again");
      }),
      "");
}

TEST_F(ShareTest, ReadOnlyIsSoAllTheWayDown) {
  EXPECT_EQ(in_child([&] {
              auto share = start();
              check(mount("tmpfs", (folder / "data/sub").c_str(), "tmpfs", 0, nullptr), "mount tmpfs");
              share->add("c1", "ro", clone_for_share(folder / "data", {true, false}));
              require(!can_create(folder / "share/c1/ro/x") && errno == EROFS, "EROFS");
              require(!can_create(folder / "share/c1/ro/sub/x") && errno == EROFS, "EROFS in a mount below");
              require(can_create(folder / "data/sub/x"), "the source itself stays writable");
              // What is mounted later does not come in, or it would be writable.
              make_dirs(folder / "data/later");
              check(mount("tmpfs", (folder / "data/later").c_str(), "tmpfs", 0, nullptr), "mount tmpfs");
              require(!can_create(folder / "share/c1/ro/later/x"), "no later mount");
            }),
            "");
}

TEST_F(ShareTest, TheRootIsReadOnly) {
  EXPECT_EQ(in_child([&] {
              auto share = start();
              require(!can_create(folder / "share/planted") && errno == EROFS, "EROFS");
              require(rmdir((folder / "share").c_str()) != 0, "busy");
            }),
            "");
}

TEST_F(ShareTest, LeavesNothing) {
  EXPECT_EQ(in_child([&] {
              pid_t pid;
              {
                auto share = start();
                pid = share->pids().front();
                share->add("c1", "a", clone_for_share(folder / "data", {}));
                share->add("c2", "b", clone_for_share(folder / "data/file", {true, false}));
                require(read_file("/proc/net/unix").find(config.folder) == std::string::npos,
                        "no named socket");
              }
              require(kill(pid, 0) != 0, "virtiofsd gone");
              require(read_file("/proc/self/mountinfo").find(config.folder) == std::string::npos, "no mount");
              require(rmdir(config.folder.c_str()) == 0, "an empty folder");
            }),
            "");
}

TEST_F(ShareTest, VirtiofsdDiesWithItsParent) {
  auto [ours, theirs] = make_pipe();
  pid_t parent = fork();
  if (parent == 0) {
    enter_private_mount_namespace();
    auto share = start();
    usleep(200000);  // virtiofsd forks into its own pid namespace
    std::string pid = std::to_string(share->pids().front());
    write_all(theirs.get(), pid + " " + read_file("/proc/" + pid + "/task/" + pid + "/children"), "pipe");
    pause();
  }
  char text[64] = {};
  ASSERT_GT(read(ours.get(), text, sizeof text - 1), 0);
  char* rest = nullptr;
  UniqueFd outer = open_pidfd(static_cast<pid_t>(strtol(text, &rest, 10)));
  auto inner_pid = static_cast<pid_t>(strtol(rest, nullptr, 10));
  UniqueFd inner = inner_pid > 0 ? open_pidfd(inner_pid) : UniqueFd();
  kill(parent, SIGKILL);
  waitpid(parent, nullptr, 0);
  EXPECT_TRUE(wait_pidfd(outer.get(), std::chrono::seconds(5)));
  EXPECT_TRUE(inner) << "no process in a pid namespace";
  if (inner) {
    EXPECT_TRUE(wait_pidfd(inner.get(), std::chrono::seconds(5)));
  }
}

TEST_F(ShareTest, BadNamesAndSources) {
  EXPECT_EQ(in_child([&] {
              auto share = start();
              for (const char* bad : {"", ".", "..", "a/b"}) {
                require(kind_of([&] { share->add(bad, "n", clone_for_share(folder.path, {})); }) ==
                            ErrorKind::kInvalid,
                        "container");
                require(kind_of([&] { share->add("c", bad, clone_for_share(folder.path, {})); }) ==
                            ErrorKind::kInvalid,
                        "name");
                require(kind_of([&] { share->remove(bad); }) == ErrorKind::kInvalid, "remove");
              }
              require(kind_of([&] { share->add("c", "n", clone_for_share(folder / "no", {})); }) ==
                          ErrorKind::kNotFound,
                      "source");
              share->add("c", "n", clone_for_share(folder.path, {}));
              require(kind_of([&] { share->add("c", "n", clone_for_share(folder.path, {})); }) ==
                          ErrorKind::kExists,
                      "twice");
            }),
            "");
}

TEST_F(ShareTest, TellsWhyVirtiofsdFailed) {
  config.cache = "nonsense";
  EXPECT_NE(in_child([&] {
              auto share = start();
              for (int i = 0; i < 100 && share->last_words().empty(); ++i) usleep(20000);
              share->take_socket();
            }).find("virtiofsd ended: exit code 1"),
            std::string::npos);
  config.virtiofsd = folder / "none";
  EXPECT_NE(in_child([&] { start(); }).find("starting virtiofsd: exec "), std::string::npos);
}

}  // namespace
}  // namespace husk::vm
