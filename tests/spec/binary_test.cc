#include "spec/binary.h"

#include <gtest/gtest.h>

#include <random>

#include "libcontainer/base/error.h"
#include "spec/codec.h"
#include "tests/spec/full_config.h"

namespace husk::spec {
namespace {

using nlohmann::json;

// The message of the Error(kInvalid) that these bytes get; empty: they are a T.
template <typename T>
std::string refusal(std::string_view bytes) {
  try {
    const T value = from_binary<T>(bytes);
    EXPECT_EQ(to_binary(value), bytes) << "one value, one encoding";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInvalid);
    EXPECT_EQ(e.message(), one_line(e.message()));
    return e.message();
  }
  return "";
}

std::string full() {
  return to_binary(decode_config(test::kFullConfig));
}

TEST(Binary, FullConfigSurvivesTheRoundTrip) {
  const json config = json::parse(test::kFullConfig);
  EXPECT_EQ(encode_config(from_binary<Config>(full())), config);
  const auto process = decode_process(config["process"].dump());
  EXPECT_EQ(encode_process(from_binary<Process>(to_binary(process))), config["process"]);
  const json resources = config["linux"]["resources"];
  EXPECT_EQ(encode_resources(from_binary<Resources>(to_binary(decode_resources(resources.dump())))),
            resources);
  EXPECT_LT(full().size(), config.dump().size());
}

TEST(Binary, WhatIsAbsentStaysAbsent) {
  for (const char* text :
       {"{}", R"({"process": {"capabilities": {}, "user": {"uid": 0, "gid": 0}, "terminal": false,
                  "noNewPrivileges": false}})",
        R"({"linux": {}})", R"({"linux": {"resources": {"cpu": {}, "network": {}}}})"}) {
    const Config config = decode_config(text);
    EXPECT_EQ(encode_config(from_binary<Config>(to_binary(config))), encode_config(config)) << text;
  }
}

TEST(Binary, EachTruncationIsRefused) {
  const std::string bytes = full();
  for (size_t size = 0; size < bytes.size(); ++size)
    ASSERT_NE(refusal<Config>(std::string_view(bytes).substr(0, size)), "") << size;
  EXPECT_NE(refusal<Config>(bytes + '\0').find("bytes are left"), std::string::npos);
}

TEST(Binary, MutationsDoNoHarm) {
  const std::string bytes = full();
  std::mt19937 random(1);
  for (int round = 0; round < 20000; ++round) {
    std::string broken = bytes;
    for (size_t changes = 1 + random() % 3; changes > 0; --changes) {
      const size_t at = random() % broken.size();
      switch (random() % 3) {
        case 0:
          broken[at] = static_cast<char>(random());
          break;
        case 1:
          broken.erase(at, random() % 8);
          break;
        default:
          broken.insert(at, random() % 8, static_cast<char>(random() % 2 ? 0xff : random()));
      }
      if (broken.empty()) broken = "x";
    }
    refusal<Config>(broken);
  }
}

// A map's names, as a struct of its own.
struct Map {
  std::map<std::string, uint32_t> map;
};
template <typename A, Is<Map> T>
void fields(A& a, T& v) {
  a("map", v.map);
}

TEST(Binary, ValuesThatNoWriterWrites) {
  const std::string one("\1\0\0\0", 4), two("\2\0\0\0", 4), number("\7\0\0\0", 4);
  EXPECT_EQ(refusal<Map>(two + one + "a" + number + one + "b" + number), "");
  EXPECT_EQ(refusal<Map>(two + one + "b" + number + one + "a" + number),
            "broken message: names that are not in order, at map");
  EXPECT_NE(refusal<Map>(two + one + "a" + number + one + "a" + number), "");
  EXPECT_EQ(refusal<Map>(one + one + std::string(1, '\0') + number),
            "broken message: a string holds a NUL byte, at map");
  EXPECT_EQ(refusal<Map>(std::string("\xff\xff\xff\xff", 4) + one + "a" + number),
            "broken message: it ends too early, at map");
  EXPECT_EQ(refusal<Process>("\2"), "broken message: neither true nor false, at terminal");
}

}  // namespace
}  // namespace husk::spec
