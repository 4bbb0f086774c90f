#include "vm/share/tree_watch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/base/temp_folder.h"

namespace husk::vm {
namespace {

std::vector<std::string> paths(const std::vector<TreeChange>& changes) {
  std::vector<std::string> out;
  for (const TreeChange& change : changes) out.push_back(change.path);
  return out;
}

TEST(TreeChangesTest, TellsEachPathOnceInOrder) {
  TreeChanges changes(10);
  changes.add({"v", "b", IN_CREATE});
  changes.add({"v", "a", IN_MODIFY});
  changes.add({"v", "b", IN_MODIFY});
  changes.add({"w", "b", IN_DELETE});
  const auto first = changes.take(2);
  EXPECT_EQ(paths(first), (std::vector<std::string>{"b", "a"}));
  EXPECT_EQ(first[0].mask, static_cast<uint32_t>(IN_CREATE | IN_MODIFY));
  EXPECT_EQ(changes.take(10).at(0).tree, "w");
  EXPECT_TRUE(changes.empty());
}

TEST(TreeChangesTest, IsBounded) {
  TreeChanges changes(2);
  EXPECT_TRUE(changes.add({"v", "a", IN_MODIFY}));
  EXPECT_TRUE(changes.add({"w", "b", IN_MODIFY}));
  EXPECT_FALSE(changes.add({"w", "c", IN_MODIFY}));
  EXPECT_TRUE(changes.add({"v", "a", IN_DELETE}));
  changes.forget("v");
  EXPECT_TRUE(changes.add({"w", "c", IN_MODIFY}));
  EXPECT_EQ(paths(changes.take(10)), (std::vector<std::string>{"b", "c"}));
}

class TreeWatchTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "who did it is told to root only";
    make_dirs(folder / "tree/sub/deep");
    watch.emplace(std::vector<pid_t>{});
  }
  void add(const std::string& name = "tree") { watch->add(name, open_file(folder / name, O_PATH)); }
  // PATH -> mask, of what was told since the last time.
  std::map<std::string, uint32_t> told() {
    watch->read(changes);
    std::map<std::string, uint32_t> out;
    for (const TreeChange& change : changes.take(10000)) out[change.path] |= change.mask;
    return out;
  }
  void write(const std::string& path) { write_file(folder / path, "x", true); }

  TempFolder folder;
  std::optional<TreeWatch> watch;
  TreeChanges changes{4096};
};

using Told = std::map<std::string, uint32_t>;

TEST_F(TreeWatchTest, TellsWhatHappensInAllFolders) {
  add();
  write("tree/file");
  write("tree/sub/deep/file");
  EXPECT_EQ(told(), (Told{{"file", IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE},
                          {"sub/deep/file", IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE}}));
  check(rename((folder / "tree/file").c_str(), (folder / "tree/sub/other").c_str()), "rename");
  check(unlink((folder / "tree/sub/deep/file").c_str()), "unlink");
  const Told last = told();
  EXPECT_EQ(last.at("file"), static_cast<uint32_t>(IN_MOVED_FROM));
  EXPECT_EQ(last.at("sub/other"), static_cast<uint32_t>(IN_MOVED_TO));
  EXPECT_TRUE(last.at("sub/deep/file") & IN_DELETE);
  check(chmod((folder / "tree").c_str(), 0711), "chmod");
  EXPECT_EQ(told(), (Told{{"", IN_ATTRIB | IN_ISDIR}}));
}

TEST_F(TreeWatchTest, FollowsFoldersThatComeMoveAndGo) {
  add();
  make_dirs(folder / "tree/new/below");
  EXPECT_EQ(told(), (Told{{"new", IN_CREATE | IN_ISDIR}}));
  write("tree/new/below/file");
  EXPECT_EQ(told().count("new/below/file"), 1u);
  check(rename((folder / "tree/new").c_str(), (folder / "tree/sub/moved").c_str()), "rename");
  told();
  write("tree/sub/moved/below/again");
  EXPECT_EQ(told().count("sub/moved/below/again"), 1u);
  check(rename((folder / "tree/sub/moved").c_str(), (folder / "outside").c_str()), "rename");
  EXPECT_EQ(told(), (Told{{"sub/moved", IN_MOVED_FROM | IN_ISDIR}}));
  write("outside/below/last");
  EXPECT_EQ(told(), Told{});
}

TEST_F(TreeWatchTest, SaysNothingOfWhatTheGuestDoesButFollowsItsFolders) {
  watch.emplace(std::vector<pid_t>{getpid()});
  add();
  make_dirs(folder / "tree/guests");
  write("tree/file");
  EXPECT_EQ(told(), Told{});
  const pid_t other = fork();
  if (other == 0) {
    write("tree/guests/file");
    _exit(0);
  }
  waitpid(other, nullptr, 0);
  EXPECT_EQ(told(), (Told{{"guests/file", IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE}}));
}

TEST_F(TreeWatchTest, WatchesTheUpperFoldersOfALargeTree) {
  for (size_t i = 0; i < TreeWatch::kMaxFolders; ++i)
    make_dirs(folder / ("tree/sub/deep/" + std::to_string(i)));
  make_dirs(folder / "tree/sub/deep/0/deepest");
  add();
  write("tree/sub/file");
  write("tree/sub/deep/0/deepest/file");
  const Told last = told();
  EXPECT_EQ(last.count("sub/file"), 1u);
  EXPECT_EQ(last.count("sub/deep/0/deepest/file"), 0u);
}

TEST_F(TreeWatchTest, AFileAndTwoTreesWithTheSameFolder) {
  write("tree/sub/file");
  add("tree");
  add("tree/sub");
  add("tree/sub/file");
  write_file(folder / "tree/sub/file", "y");
  watch->read(changes);
  std::map<std::string, std::string> all;
  for (const TreeChange& change : changes.take(100)) all[change.tree] = change.path;
  EXPECT_EQ(all, (std::map<std::string, std::string>{
                     {"tree", "sub/file"}, {"tree/sub", "file"}, {"tree/sub/file", ""}}));
  watch->remove("tree", changes);
  write_file(folder / "tree/sub/file", "z");
  EXPECT_EQ(told().count("sub/file"), 0u);
}

TEST_F(TreeWatchTest, LosesWhatIsTooMuchAndGoesOn) {
  add();
  for (int i = 0; i < 20000; ++i)
    check(mknod((folder / ("tree/" + std::to_string(i))).c_str(), S_IFREG | 0600, 0), "mknod");
  make_dirs(folder / "tree/late");
  EXPECT_LE(told().size(), 4096u);
  write("tree/late/file");
  EXPECT_EQ(told().count("late/file"), 1u);
}

}  // namespace
}  // namespace husk::vm
