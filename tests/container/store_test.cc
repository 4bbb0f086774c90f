#include "libcontainer/container/store.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/base/temp_folder.h"
#include "tests/container/expect_error.h"

namespace husk::test {
namespace {

Record record(const std::string& id) {
  Record r;
  r.id = id;
  r.bundle = "/b";
  r.rootfs = "/b/rootfs";
  r.created = now_rfc3339();
  r.owner = "root";
  r.annotations = {{"a", "1"}};
  r.init = {12, 3456};
  r.poststop_hooks = true;
  return r;
}

mode_t mode_of(const std::string& path) {
  struct stat st {};
  EXPECT_EQ(0, stat(path.c_str(), &st));
  return st.st_mode & 07777;
}

TEST(Store, FoldersArePrivateWhateverTheUmask) {
  TempFolder dir;
  const mode_t before = umask(077);
  Store store(dir / "root/moby");
  store.make("c1");
  umask(before);
  EXPECT_EQ(0711u, mode_of(store.root()));
  EXPECT_EQ(0700u, mode_of(store.folder("c1")));
}

TEST(Store, AnIdIsTakenOnce) {
  TempFolder dir;
  Store store(dir.path);
  store.make("c1");
  expect_error(ErrorKind::kExists, "already exists: c1", [&] { store.make("c1"); });
}

TEST(Store, RecordComesBackAsItWas) {
  TempFolder dir;
  Store store(dir.path);
  store.make("c1");
  const Record before = record("c1");
  store.save(before);
  const Record after = store.load("c1");
  EXPECT_EQ(before.to_json(), after.to_json());
  EXPECT_EQ(3456u, after.init.start);
  EXPECT_TRUE(after.poststop_hooks);
}

TEST(Store, MissingAndDamaged) {
  TempFolder dir;
  Store store(dir.path);
  expect_error(ErrorKind::kNotFound, "container \"x\" does not exist", [&] { store.load("x"); });
  expect_error(ErrorKind::kNotFound, "container \"x\" does not exist", [&] { store.lock("x"); });
  store.make("x");
  write_file(store.folder("x") + "/state.json", "{\"id\":", true);
  expect_error(ErrorKind::kInvalid, "state.json", [&] { store.load("x"); });
}

TEST(Store, ListSkipsWhatIsHalfMade) {
  TempFolder dir;
  Store store(dir.path);
  EXPECT_TRUE(Store(dir / "nowhere").ids().empty());
  store.make("half");
  for (const char* id : {"b", "a"}) {
    store.make(id);
    store.save(record(id));
  }
  write_file(dir / "a-file", "", true);
  EXPECT_EQ((std::vector<std::string>{"a", "b"}), store.ids());
}

TEST(Store, LockWaitsForTheOther) {
  TempFolder dir;
  Store store(dir.path);
  int ready[2];
  ASSERT_EQ(0, pipe(ready));
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    FolderLock lock = store.make("c1");
    (void)!write(ready[1], "x", 1);
    usleep(200'000);
    store.remove("c1");
    _exit(0);
  }
  char byte;
  ASSERT_EQ(1, read(ready[0], &byte, 1));
  // The one we waited for has deleted it.
  expect_error(ErrorKind::kNotFound, "does not exist", [&] { store.lock("c1"); });
  waitpid(child, nullptr, 0);
  close(ready[0]);
  close(ready[1]);
}

TEST(Store, TimesAndUsers) {
  const std::string now = now_rfc3339();
  EXPECT_EQ(30u, now.size());
  EXPECT_EQ('T', now[10]);
  EXPECT_EQ('.', now[19]);
  EXPECT_EQ('Z', now[29]);
  EXPECT_EQ("root", user_name(0));
  EXPECT_EQ("#3999999999", user_name(3999999999u));
}

TEST(ProcessId, KnowsTheLivingFromTheDead) {
  EXPECT_TRUE(ProcessId::of(getpid()).alive());
  ProcessId other = ProcessId::of(getpid());
  other.start += 1;  // the pid is somebody else's by now
  EXPECT_FALSE(other.alive());
  EXPECT_FALSE(ProcessId{}.alive());
}

}  // namespace
}  // namespace husk::test
