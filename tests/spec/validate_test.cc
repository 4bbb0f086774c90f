#include "spec/validate.h"

#include <gtest/gtest.h>

#include "libcontainer/base/error.h"
#include "spec/codec.h"
#include "tests/spec/full_config.h"

namespace husk::spec {
namespace {

using nlohmann::json;

constexpr const char* kSmall = R"({"ociVersion": "1.2.0", "process": {"args": ["sh"], "cwd": "/"},
  "root": {"path": "rootfs"},
  "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}]}})";

// The small config with a JSON merge patch (RFC 7396) on top.
Config patched(const char* patch) {
  json config = json::parse(kSmall);
  config.merge_patch(json::parse(patch));
  return decode_config(config.dump());
}

std::string validate(const Config& config) {
  try {
    validate_config(config);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInvalid);
    return e.message();
  }
  return "";
}

TEST(Validate, Good) {
  const char* patches[] = {
      "{}",
      R"({"ociVersion": "1.0.2-dev"})",
      R"({"ociVersion": "1.0.0-rc5+git.1"})",
      R"({"ociVersion": "1.17.3"})",
      R"({"linux": null})",
      R"({"process": {"env": ["A=", "B=a=b"], "oomScoreAdj": -1000}})",
      R"({"process": {"rlimits": [{"type": "RLIMIT_CORE", "hard": 1, "soft": 1}, {"type": "RLIMIT_CPU"}]}})",
      R"({"process": {"scheduler": {"policy": "SCHED_FIFO", "priority": 99}}})",
      R"({"process": {"capabilities": {"bounding": ["CAP_UNHEARD_OF"]}}})",
      R"({"mounts": [{"destination": "relative/path", "type": "tmpfs"}, {"destination": "/b", "source": "/s", "options": ["rbind"]}]})",
      R"({"process": {"user": {"uid": 4294967294}, "consoleSize": {"height": 65535}}})",
      R"({"process": {"scheduler": {"policy": "SCHED_DEADLINE", "runtime": 1024, "deadline": 1024}}})",
      R"({"linux": {"resources": {"cpu": {"quota": -1, "period": 0, "burst": 5}, "pids": {"limit": -1}}}})",
      R"({"linux": {"resources": {"devices": [{"major": -1, "minor": -1}, {"major": 4095, "minor": 1048575}]}}})",
      R"({"linux": {"resources": {"blockIO": {"weight": 0, "leafWeight": 10, "weightDevice": [{"weight": 0}]}}}})",
      R"({"linux": {"namespaces": [{"type": "user", "path": "/proc/1/ns/user"}],
          "uidMappings": [{"size": 1}], "gidMappings": [{"size": 1}]}})",
      R"({"linux": {"namespaces": [{"type": "user"}], "uidMappings": [{"size": 4294967295}],
          "gidMappings": [{"size": 1}]}})",
      R"({"linux": {"resources": {"memory": {"limit": -1, "swap": -1}, "cpu": {"cpus": "0-3,5", "mems": "0\n"}}}})",
      R"({"linux": {"resources": {"memory": {"limit": 1000, "swap": 0}}}})",
      R"({"linux": {"resources": {"devices": [{"allow": true, "type": "a", "access": ""}]}}})",
      R"({"linux": {"sysctl": {"net.ipv4.conf.eth0/1.forwarding": "1"}}})",
      R"({"linux": {"cgroupsPath": "system.slice:husk:a..b"}})",
      R"({"linux": {"devices": [{"path": "/dev/p", "type": "p"}]}})",
      R"({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}})",
  };
  for (const char* patch : patches) EXPECT_EQ(validate(patched(patch)), "") << patch;
}

TEST(Validate, ProcessAndResourcesAlone) {
  try {
    validate_process(decode_process(R"({"args": ["a"], "cwd": "b"})"), "exec");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.message(), R"(exec.cwd: must be an absolute path, got "b")");
  }
  EXPECT_THROW(validate_resources(decode_resources(R"({"memory": {"limit": -3}})")), Error);
  EXPECT_NO_THROW(validate_resources(Resources()));
}

TEST(Validate, Warnings) {
  EXPECT_EQ(config_warnings(patched("{}")), std::vector<std::string>());
  const std::vector<std::string> warnings = config_warnings(patched(R"({"ociVersion": "1.3.0",
    "process": {"capabilities": {"ambient": ["CAP_KILL", "CAP_X"]}, "apparmorProfile": "p", "selinuxLabel": "l"},
    "linux": {"mountLabel": "m", "intelRdt": {}, "uidMappings": [{"size": 1}],
              "namespaces": [{"type": "user", "path": "/proc/1/ns/user"}],
              "resources": {"memory": {"kernel": 1, "useHierarchy": true}}}})"));
  ASSERT_EQ(warnings.size(), 9u);
  EXPECT_EQ(warnings[0], R"(ociVersion: "1.3.0" is newer than 1.2.0; what it added is ignored)");
  EXPECT_EQ(warnings[1], R"(process.capabilities.ambient: unknown capability "CAP_X" ignored)");
  EXPECT_EQ(warnings[2], "process.apparmorProfile: not supported, ignored");
}

}  // namespace
}  // namespace husk::spec
