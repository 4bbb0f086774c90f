#include "spec/codec.h"

#include <gtest/gtest.h>

#include "libcontainer/base/error.h"
#include "tests/spec/full_config.h"

namespace husk::spec {
namespace {

using nlohmann::json;

// The one-line message of the Error(kInvalid) that f throws; empty if it throws none.
template <typename F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInvalid);
    EXPECT_EQ(e.message().find('\n'), std::string::npos) << e.message();
    return e.message();
  }
  return "";
}

TEST(Codec, FullConfigSurvivesTheRoundTrip) {
  const json full = json::parse(test::kFullConfig);
  const Config config = decode_config(test::kFullConfig);
  EXPECT_EQ(json::diff(full, encode_config(config)), json::array());
  EXPECT_EQ(encode_config(decode_config(encode_config(config).dump())), full);
  EXPECT_NO_THROW(validate_config(config));
}

TEST(Codec, EncodeProcessAndResources) {
  const json full = json::parse(test::kFullConfig);
  EXPECT_EQ(encode_process(decode_process(full["process"].dump())), full["process"]);
  const json resources = full["linux"]["resources"];
  EXPECT_EQ(encode_resources(decode_resources(resources.dump())), resources);
}

TEST(Codec, Values) {
  const Config config = decode_config(test::kFullConfig);
  EXPECT_EQ(config.process->user.gid, 4294967295u);
  EXPECT_EQ(config.process->args, (std::vector<std::string>{"sh", "-c", ""}));
  EXPECT_EQ(config.process->rlimits[0].hard, UINT64_MAX);
  const Linux& linux_ = *config.linux_;
  EXPECT_EQ(linux_.find_namespace(NamespaceType::kNetwork)->path, "/run/netns/x");
  EXPECT_EQ(linux_.resources->pids_limit, 0);
  EXPECT_EQ(linux_.resources->devices[0].major, std::nullopt);
  EXPECT_EQ(linux_.resources->network->priorities.at("eth0"), 500u);
  EXPECT_EQ(linux_.time_offsets.at("monotonic").secs, -172800);
}

TEST(Codec, NullAndUnknownMembersAreAbsent) {
  const Config config = decode_config(
      R"({"process": null, "mounts": null, "hooks": null, "hostname": null, "x": [{}],
          "linux": {"resources": {"memory": {"limit": null}, "pids": {}}, "seccomp": null, "netDevices": {}}})");
  EXPECT_FALSE(config.process);
  EXPECT_TRUE(config.mounts.empty());
  EXPECT_FALSE(config.linux_->resources->memory->limit);
  EXPECT_FALSE(config.linux_->resources->pids_limit);
  EXPECT_FALSE(config.linux_->seccomp);
}

TEST(Codec, RelativeDestinationAndEmptySeccomp) {
  const Config config =
      decode_config(R"({"mounts": [{"destination": "data"}, {}], "linux": {"seccomp": {"flags": []}}})");
  EXPECT_EQ(config.mounts[0].destination, "/data");
  EXPECT_EQ(config.mounts[1].destination, "");
  EXPECT_FALSE(config.linux_->seccomp);
}

TEST(Codec, EmptyOptionalStructsStay) {
  const char* text = R"({"process": {"user": {"uid": 0, "gid": 0}, "capabilities": {}, "terminal": false,
                         "noNewPrivileges": false}, "linux": {"resources": {"cpu": {}}}})";
  const Config config = decode_config(text);
  EXPECT_TRUE(config.process->capabilities);
  EXPECT_EQ(encode_config(config), json::parse(text));
}

struct Broken {
  const char* text;
  const char* message;
};

TEST(Codec, BrokenConfigs) {
  const Broken cases[] = {
      {"[]", "expected an object, got an array"},
      {"null", "expected an object, got null"},
      {R"({"ociVersion": 1})", "ociVersion: expected a string, got an integer"},
      {R"({"process": []})", "process: expected an object, got an array"},
      {R"({"process": {"args": "sh"}})", "process.args: expected an array, got a string"},
      {R"({"process": {"args": ["sh", 1]}})", "process.args[1]: expected a string, got an integer"},
      {R"({"process": {"args": ["sh", null]}})", "process.args[1]: expected a string, got null"},
      {R"({"process": {"args": ["a\u0000b"]}})", "process.args[0]: the string holds a NUL byte"},
      {R"({"process": {"terminal": 1}})", "process.terminal: expected a boolean, got an integer"},
      {R"({"process": {"terminal": "true"}})", "process.terminal: expected a boolean, got a string"},
      {R"({"process": {"user": {"uid": -1}}})", "process.user.uid: -1 is out of range (0 to 4294967295)"},
      {R"({"process": {"user": {"uid": 4294967296}}})",
       "process.user.uid: 4294967296 is out of range (0 to 4294967295)"},
      {R"({"process": {"user": {"uid": 1.5}}})",
       "process.user.uid: expected an integer, got a number with a fraction or an exponent"},
      {R"({"process": {"user": {"uid": true}}})", "process.user.uid: expected an integer, got a boolean"},
      {R"({"process": {"user": {"additionalGids": [1, {}]}}})",
       "process.user.additionalGids[1]: expected an integer, got an object"},
      {R"({"process": {"oomScoreAdj": 2147483648}})",
       "process.oomScoreAdj: 2147483648 is out of range (-2147483648 to 2147483647)"},
      {R"({"process": {"oomScoreAdj": -2147483649}})",
       "process.oomScoreAdj: -2147483649 is out of range (-2147483648 to 2147483647)"},
      {R"({"process": {"rlimits": [{"hard": 18446744073709551616}]}})",
       "process.rlimits[0].hard: 1.8446744073709552e+19 is out of range (0 to 18446744073709551615)"},
      {R"({"mounts": {}})", "mounts: expected an array, got an object"},
      {R"({"mounts": [7]})", "mounts[0]: expected an object, got an integer"},
      {R"({"mounts": [{"options": "ro"}]})", "mounts[0].options: expected an array, got a string"},
      {R"({"hooks": {"poststop": [{"timeout": "1"}]}})",
       "hooks.poststop[0].timeout: expected an integer, got a string"},
      {R"({"annotations": {"a.b": 1}})", "annotations[\"a.b\"]: expected a string, got an integer"},
      {R"({"annotations": {"a\u0000": "x"}})", "annotations[\"a\\x00\"]: the name holds a NUL byte"},
      {R"({"annotations": []})", "annotations: expected an object, got an array"},
      {R"({"linux": {"resources": {"memory": {"limit": "1G"}}}})",
       "linux.resources.memory.limit: expected an integer, got a string"},
      {R"({"linux": {"resources": {"memory": {"limit": 9223372036854775808}}}})",
       "linux.resources.memory.limit: 9223372036854775808 is out of range (-9223372036854775808 to "
       "9223372036854775807)"},
      {R"({"linux": {"resources": {"pids": 5}}})",
       "linux.resources.pids: expected an object, got an integer"},
      {R"({"linux": {"resources": {"pids": {"limit": "5"}}}})",
       "linux.resources.pids.limit: expected an integer, got a string"},
      {R"({"linux": {"resources": {"blockIO": {"weight": 65536}}}})",
       "linux.resources.blockIO.weight: 65536 is out of range (0 to 65535)"},
      {R"({"linux": {"resources": {"network": {"priorities": {}}}}})",
       "linux.resources.network.priorities: expected an array, got an object"},
      {R"({"linux": {"resources": {"network": {"priorities": [{"priority": "x"}]}}}})",
       "linux.resources.network.priorities[0].priority: expected an integer, got a string"},
      {R"({"linux": {"resources": {"rdma": {"m": 1}}}})",
       "linux.resources.rdma[\"m\"]: expected an object, got an integer"},
      {R"({"linux": {"namespaces": [{"type": "net"}]}})",
       "linux.namespaces[0].type: unknown namespace type \"net\""},
      {R"({"linux": {"namespaces": [{"type": 1}]}})",
       "linux.namespaces[0].type: expected a string, got an integer"},
      {R"({"linux": {"seccomp": {"syscalls": [{"args": [{"value": -1}]}]}}})",
       "linux.seccomp.syscalls[0].args[0].value: -1 is out of range (0 to 18446744073709551615)"},
      {R"({"linux": {"timeOffsets": {"boottime": {"secs": ""}}}})",
       "linux.timeOffsets[\"boottime\"].secs: expected an integer, got a string"},
  };
  for (const Broken& c : cases) EXPECT_EQ(error_of([&] { decode_config(c.text); }), c.message) << c.text;
}

TEST(Codec, NotJson) {
  for (const char* text :
       {"", "{", "{\"a\": }", "{} x", "{\"a\": 'b'}", "{\"a\": \"\xff\"}", "{\"a\":\n\n1,}"}) {
    const std::string message = error_of([&] { decode_config(text); });
    EXPECT_TRUE(message.starts_with("not JSON: line ")) << message;
  }
  EXPECT_TRUE(error_of([] { decode_config("{\n \"a\": }"); }).starts_with("not JSON: line 2, column 7: "));
  EXPECT_EQ(error_of([] { decode_config(R"({"process": {"user": {"uid": 1e400}}})"); }).substr(0, 9),
            "not JSON:");
}

TEST(Codec, DeepNestingIsHarmless) {
  std::string text = "{\"x\":";
  for (int i = 0; i < 100000; ++i) text += '[';
  EXPECT_NE(error_of([&] { decode_config(text); }), "");
  for (int i = 0; i < 100000; ++i) text += ']';
  EXPECT_NO_THROW(decode_config(text + "}"));
}

TEST(Codec, ProcessAndResourcesNameThemselves) {
  EXPECT_EQ(error_of([] { decode_process(R"({"cwd": 1})"); }),
            "process.cwd: expected a string, got an integer");
  EXPECT_EQ(error_of([] { decode_resources(R"({"cpu": {"shares": -1}})"); }),
            "resources.cpu.shares: -1 is out of range (0 to 18446744073709551615)");
}

TEST(Codec, State) {
  State state;
  state.id = "a";
  state.status = "running";
  state.pid = 7;
  state.bundle = "/b";
  EXPECT_EQ(
      encode_state(state),
      (json{{"ociVersion", kOciVersion}, {"id", "a"}, {"status", "running"}, {"pid", 7}, {"bundle", "/b"}}));
  state.annotations = {{"k", "v"}};
  EXPECT_EQ(encode_state(state)["annotations"]["k"], "v");
}

TEST(Codec, DefaultConfigIsValid) {
  for (const bool rootless : {false, true}) {
    const Config config = default_config(rootless, 1000, 1001);
    EXPECT_NO_THROW(validate_config(config));
    EXPECT_EQ(config_warnings(config), std::vector<std::string>());
    EXPECT_EQ(config.linux_->find_namespace(NamespaceType::kUser) != nullptr, rootless);
    const json encoded = encode_config(config);
    EXPECT_EQ(encode_config(decode_config(encoded.dump())), encoded);
  }
  EXPECT_EQ(default_config(true, 1000, 1001).linux_->gid_mappings[0].host_id, 1001u);
}

}  // namespace
}  // namespace husk::spec
