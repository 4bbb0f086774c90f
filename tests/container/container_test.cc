#include "libcontainer/container/container.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "libcontainer/container/pid_file.h"
#include "tests/base/temp_folder.h"
#include "tests/container/expect_error.h"
#include "tests/container/fake_backend.h"

namespace husk::test {
namespace {

class ContainerTest : public testing::Test {
 protected:
  ContainerTest() : store_(dir_ / "root") {
    make_dirs(dir_ / "bundle/rootfs");
    write_config("");
  }

  void write_config(const std::string& more) {
    write_file(dir_ / "bundle/config.json",
               R"({"ociVersion":"1.0.2","process":{"args":["sh"],"cwd":"/","user":{"uid":0,"gid":0}},)"
               R"("root":{"path":"rootfs"},"annotations":{"k":"v"})" +
                   more + "}",
               true);
  }
  // A hook that appends `word` and the state's status and pid to the file "hooks".
  std::string hook(const std::string& word, const std::string& then = "") {
    return R"({"path":"/bin/sh","args":["sh","-c","S=$(cat); echo )" + word +
           R"( $(echo $S | grep -o '\"status\": *\"[a-z]*\"' | cut -d'\"' -f4) >> )" + (dir_ / "hooks") +
           "; " + then + R"("]})";
  }
  std::string hook_log() { return path_exists(dir_ / "hooks") ? read_file(dir_ / "hooks") : ""; }

  Container create(const std::string& id = "c1") {
    Container::CreateOptions options;
    options.id = id;
    options.pid_file = dir_ / "pid";
    return Container::create(store_, backend_, Bundle::load(dir_ / "bundle"), options);
  }

  TempFolder dir_;
  Store store_;
  FakeBackend backend_;
};

TEST_F(ContainerTest, LifeOfAContainer) {
  Container c = create();
  EXPECT_EQ("4242", read_file(dir_ / "pid"));
  auto state = Container::load(store_, backend_, "c1").state();
  EXPECT_EQ("created", state["status"]);
  EXPECT_EQ(4242, state["pid"]);
  EXPECT_EQ("1.0.2", state["ociVersion"]);
  EXPECT_EQ(dir_ / "bundle/rootfs", state["rootfs"]);
  EXPECT_EQ("v", state["annotations"]["k"]);

  c.start();
  EXPECT_EQ("running", c.state()["status"]);
  c.pause();
  EXPECT_EQ("paused", c.state()["status"]);
  c.resume();
  c.kill(15, false);
  backend_.states["c1"] = Status::kStopped;
  EXPECT_EQ(0, c.state()["pid"]);
  EXPECT_EQ("stopped", c.state()["status"]);
  delete_container(store_, backend_, "c1", false);
  EXPECT_FALSE(store_.has_folder("c1"));
  EXPECT_EQ(
      (std::vector<std::string>{"create c1", "start c1", "pause c1", "resume c1", "kill 15 c1", "remove c1"}),
      backend_.calls);
}

TEST_F(ContainerTest, WrongStates) {
  Container c = create();
  expect_error(ErrorKind::kWrongState, "container not paused", [&] { c.resume(); });
  c.start();
  expect_error(ErrorKind::kWrongState, "cannot start an already running container", [&] { c.start(); });
  expect_error(ErrorKind::kWrongState, "cannot delete container c1 that is not stopped: running",
               [&] { delete_container(store_, backend_, "c1", false); });
  c.pause();
  expect_error(ErrorKind::kWrongState, "cannot start a container in the paused state", [&] { c.start(); });
  expect_error(ErrorKind::kWrongState, "cannot pause", [&] { c.pause(); });
  expect_error(ErrorKind::kWrongState, "cannot exec in a paused container", [&] { c.check_exec(false); });
  c.check_exec(true);
  backend_.states["c1"] = Status::kStopped;
  expect_error(ErrorKind::kWrongState, "cannot start a container that has stopped", [&] { c.start(); });
  expect_error(ErrorKind::kWrongState, "container not running", [&] { c.kill(9, false); });
  expect_error(ErrorKind::kWrongState, "container not running", [&] { c.pause(); });
  EXPECT_TRUE(c.processes().empty());  // as runc: no error
  expect_error(ErrorKind::kWrongState, "cannot exec in a stopped container", [&] { c.check_exec(false); });
  c.kill(9, true);  // containerd does this to what is left of a shared pid namespace
}

TEST_F(ContainerTest, UnknownAndBadIds) {
  expect_error(ErrorKind::kNotFound, "container \"x\" does not exist",
               [&] { Container::load(store_, backend_, "x"); });
  expect_error(ErrorKind::kNotFound, "does not exist",
               [&] { delete_container(store_, backend_, "x", false); });
  delete_container(store_, backend_, "x", true);
  EXPECT_TRUE(backend_.calls.empty());
  for (const char* id : {"", "a/b", "..", "."})
    expect_error(ErrorKind::kInvalid, " id ", [&] { create(id); });
  create();
  expect_error(ErrorKind::kExists, "already exists", [&] { create(); });
  EXPECT_EQ("created", Container::load(store_, backend_, "c1").state()["status"]);
}

TEST_F(ContainerTest, AFailedCreateLeavesNothing) {
  backend_.fail_on = "create";
  expect_error(ErrorKind::kInternal, "create failed", [&] { create(); });
  EXPECT_FALSE(store_.has_folder("c1"));
  EXPECT_FALSE(path_exists(dir_ / "pid"));
}

TEST_F(ContainerTest, APidFileThatCannotBeWrittenUndoesCreate) {
  Container::CreateOptions options;
  options.id = "c1";
  options.pid_file = dir_ / "nowhere/pid";
  const Bundle bundle = Bundle::load(dir_ / "bundle");
  expect_error(ErrorKind::kNotFound, "pid file",
               [&] { Container::create(store_, backend_, bundle, options); });
  EXPECT_EQ("remove c1", backend_.calls.back());
  EXPECT_FALSE(store_.has_folder("c1"));
}

TEST_F(ContainerTest, HooksRunInTheirPlaces) {
  write_config(R"(,"hooks":{"prestart":[)" + hook("prestart") + R"(],"createRuntime":[)" +
               hook("createRuntime") + R"(],"createContainer":[)" + hook("createContainer") +
               R"(],"startContainer":[)" + hook("never") + R"(],"poststart":[)" +
               hook("poststart", "exit 3") + "," + hook("poststart2") + R"(],"poststop":[)" +
               hook("poststop", "exit 1") + "]}");
  Container c = create();
  EXPECT_EQ("prestart created\ncreateRuntime creating\ncreateContainer creating\n", hook_log());
  c.start();  // poststart's failure is a warning
  delete_container(store_, backend_, "c1", true);
  EXPECT_EQ(
      "prestart created\ncreateRuntime creating\ncreateContainer creating\n"
      "poststart running\npoststart2 running\npoststop stopped\n",
      hook_log());
  EXPECT_FALSE(store_.has_folder("c1"));
}

TEST_F(ContainerTest, AFailingHookFailsCreate) {
  write_config(R"(,"hooks":{"createRuntime":[)" + hook("one", "echo no network >&2; exit 7") +
               R"(],"poststop":[)" + hook("poststop") + "]}");
  expect_error(ErrorKind::kInternal, "running createRuntime hook #0 (/bin/sh): exit status 7: no network",
               [&] { create(); });
  EXPECT_EQ("one creating\npoststop stopped\n", hook_log());
  EXPECT_FALSE(store_.has_folder("c1"));
}

TEST_F(ContainerTest, CreatingWhileItsHooksRun) {
  std::string seen;
  backend_.on_call = [&](const std::string& call) {
    if (call == "create") seen = Container::load(store_, backend_, "c1").state()["status"];
  };
  create();
  EXPECT_EQ("creating", seen);
}

TEST_F(ContainerTest, DeleteForceClearsAKilledCreate) {
  store_.make("half");
  expect_error(ErrorKind::kNotFound, "does not exist",
               [&] { delete_container(store_, backend_, "half", false); });
  delete_container(store_, backend_, "half", true);
  EXPECT_EQ("remove half", backend_.calls.back());
  EXPECT_FALSE(store_.has_folder("half"));

  // Killed between its first state.json and its last: nobody creates it any more, even if the machine is
  // there.
  create();
  Record record = store_.load("c1");
  record.creator = {record.init.pid, 1};
  store_.save(record);
  EXPECT_EQ("stopped", Container::load(store_, backend_, "c1").state()["status"]);
  delete_container(store_, backend_, "c1", false);
}

TEST_F(ContainerTest, AFailedRemoveKeepsTheFolder) {
  create();
  backend_.fail_on = "remove";
  expect_error(ErrorKind::kInternal, "remove failed",
               [&] { delete_container(store_, backend_, "c1", true); });
  EXPECT_TRUE(store_.has_folder("c1"));
  backend_.fail_on.clear();
  delete_container(store_, backend_, "c1", true);
  EXPECT_FALSE(store_.has_folder("c1"));
}

TEST_F(ContainerTest, ExecWritesItsPidFile) {
  Container c = create();
  write_file(dir_ / "exec-pid", "", true);  // CRI-O makes it beforehand
  Container::ExecOptions options;
  options.pid_file = dir_ / "exec-pid";
  EXPECT_EQ(4242, c.exec(spec::Process{}, options));
  EXPECT_EQ("4242", read_file(dir_ / "exec-pid"));
}

TEST_F(ContainerTest, BadBundles) {
  const std::string bundle = dir_ / "bundle", config = bundle + "/config.json";
  const auto load = [&] { Bundle::load(bundle); };
  write_file(config, "no JSON", true);
  expect_error(ErrorKind::kInvalid, "config.json", load);
  write_file(config,
             R"({"ociVersion":"1.0.2","process":{"args":["sh",7],"cwd":"/"},"root":{"path":"rootfs"}})",
             true);
  expect_error(ErrorKind::kInvalid, "process.args[1]", load);
  write_file(config, R"({"ociVersion":"1.0.2","root":{"path":"rootfs"}})", true);
  expect_error(ErrorKind::kInvalid, "process", load);
  write_config("");
  rmdir((bundle + "/rootfs").c_str());
  expect_error(ErrorKind::kInvalid, "does not exist", load);
  write_file(bundle + "/rootfs", "", true);
  expect_error(ErrorKind::kInvalid, "is not a directory", load);
  unlink(config.c_str());
  expect_error(ErrorKind::kInvalid, "config.json not found", load);
}

}  // namespace
}  // namespace husk::test
