#include "libcontainer/container/hooks.h"

#include <chrono>

#include "tests/base/temp_folder.h"
#include "tests/container/expect_error.h"

namespace husk::test {
namespace {

spec::Hook shell(const std::string& script) {
  spec::Hook hook;
  hook.path = "/bin/sh";
  hook.args = {"sh", "-c", script};
  return hook;
}

TEST(Hooks, GetStateArgumentsAndExactlyTheirEnvironment) {
  TempFolder dir;
  setenv("HUSK_TEST_SECRET", "1", 1);
  spec::Hook hook = shell("cat > state; echo \"$0 $1 $A $HUSK_TEST_SECRET\" > seen; pwd >> seen");
  hook.args.insert(hook.args.end(), {"zero", "one"});
  hook.env = {"A=b", "PATH=/usr/bin:/bin"};
  const std::string state = "{\"id\":\"" + std::string(300'000, 'x') + "\"}";  // more than a pipe holds
  run_hooks("prestart", {hook}, state, dir.path);
  EXPECT_EQ(state, read_file(dir / "state"));
  EXPECT_EQ("zero one b \n" + dir.path + "\n", read_file(dir / "seen"));
}

TEST(Hooks, TheFirstArgumentIsTheHooksOwnAffair) {
  // Docker's hook is one program that looks at its argv[0].
  spec::Hook hook;
  hook.path = "/bin/sh";
  hook.args = {"libnetwork-setkey", "-c", "test \"$0\" = libnetwork-setkey"};
  run_hooks("prestart", {hook}, "{}", "/");
}

TEST(Hooks, AFailureNamesHookCodeAndLastLine) {
  const std::vector<spec::Hook> hooks = {shell("exit 0"),
                                         shell("echo first >&2; echo the reason >&2; exit 3")};
  expect_error(ErrorKind::kInternal, "running prestart hook #1 (/bin/sh): exit status 3: the reason",
               [&] { run_hooks("prestart", hooks, "{}", "/"); });
  expect_error(ErrorKind::kInternal, "killed by signal 9",
               [&] { run_hooks("prestart", {shell("kill -9 $$")}, "{}", "/"); });
  spec::Hook missing;
  missing.path = "/nowhere/hook";
  expect_error(ErrorKind::kNotFound, "/nowhere/hook", [&] { run_hooks("prestart", {missing}, "{}", "/"); });
}

TEST(Hooks, TheFirstFailureEndsTheList) {
  TempFolder dir;
  const std::vector<spec::Hook> hooks = {shell("exit 1"), shell("echo > ran")};
  EXPECT_THROW(run_hooks("createRuntime", hooks, "{}", dir.path), Error);
  EXPECT_FALSE(path_exists(dir / "ran"));
  run_hooks_warn_only("poststop", hooks, "{}", dir.path);
  EXPECT_TRUE(path_exists(dir / "ran"));
}

TEST(Hooks, ATimeoutKills) {
  TempFolder dir;
  spec::Hook hook = shell("sleep 30; echo > survived");
  hook.timeout = 1;
  const auto begin = std::chrono::steady_clock::now();
  expect_error(ErrorKind::kTimeout, "ran past its timeout of 1 s",
               [&] { run_hooks("prestart", {hook}, "{}", "/"); });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

TEST(Hooks, WhatAHookLeavesInTheBackgroundIsNotWaitedFor) {
  const auto begin = std::chrono::steady_clock::now();
  run_hooks("prestart", {shell("sleep 5 &")}, "{}", "/");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
}

}  // namespace
}  // namespace husk::test
