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
  EXPECT_EQ(config.process->user.gid, 4294967294u);
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
  EXPECT_NE(default_config(false).linux_->find_namespace(NamespaceType::kCgroup), nullptr);
  EXPECT_EQ(default_config(false, 0, 0, false).linux_->find_namespace(NamespaceType::kCgroup), nullptr);
}

}  // namespace
}  // namespace husk::spec
