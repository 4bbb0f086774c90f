// broken_configs.txt: what is wrong with a config.json, and the sentence that it gets. To add a row, add its
// two lines.
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "spec/codec.h"

namespace husk::spec {
namespace {

using nlohmann::json;

constexpr const char* kTable = "tests/spec/broken_configs.txt";
constexpr const char* kGood = R"({"ociVersion": "1.2.0", "process": {"args": ["sh"], "cwd": "/"},
  "root": {"path": "rootfs"},
  "linux": {"namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "uts"}]}})";

struct Row {
  size_t line;
  std::string input, sentence;
};

std::vector<Row> read_table() {
  std::vector<Row> rows;
  std::istringstream lines(read_file(kTable));
  std::string text;
  for (size_t number = 1; std::getline(lines, text); ++number) {
    if (text.empty() || text[0] == '#') continue;
    if (text.starts_with("    "))
      rows.back().sentence = text.substr(4);
    else
      rows.push_back({number, text, ""});
  }
  return rows;
}

// "text:…" is the file as it is, \xNN a byte of it; all else is a JSON merge patch (RFC 7396) on the good
// config.
std::string config_of(const std::string& input) {
  constexpr std::string_view kText = "text:";
  if (!input.starts_with(kText)) {
    json config = json::parse(kGood);
    config.merge_patch(json::parse(input));
    return config.dump();
  }
  std::string text = input.substr(kText.size());
  for (size_t at = 0; (at = text.find("\\x", at)) != std::string::npos; ++at) {
    if (at + 4 > text.size() || !isxdigit(text[at + 2])) continue;
    text.replace(at, 4, 1, static_cast<char>(std::stoi(text.substr(at + 2, 2), nullptr, 16)));
  }
  return text;
}

// As Bundle::load() does it.
std::string sentence_of(const std::string& config_json) {
  try {
    validate_config(decode_config(config_json));
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInvalid);
    return e.message();
  }
  return "accepted";
}

TEST(BrokenConfigs, TheGoodOneIsGood) {
  EXPECT_EQ(sentence_of(kGood), "accepted");
}

TEST(BrokenConfigs, EachGetsItsSentence) {
  const std::vector<Row> rows = read_table();
  EXPECT_GE(rows.size(), 200u);
  for (const Row& row : rows)
    EXPECT_EQ(sentence_of(config_of(row.input)), row.sentence)
        << kTable << ":" << row.line << ": " << row.input;
}

TEST(BrokenConfigs, NoRowTwiceAndEverySentenceOneLine) {
  std::set<std::string> seen;
  for (const Row& row : read_table()) {
    EXPECT_TRUE(seen.insert(row.input).second) << kTable << ":" << row.line << " is there twice";
    EXPECT_EQ(row.sentence, printable(row.sentence)) << kTable << ":" << row.line;
  }
}

// Merge patches of more than a line.
TEST(BrokenConfigs, TooMany) {
  json config = json::parse(kGood);
  config["process"]["user"]["additionalGids"] = std::vector<uint32_t>(65537, 1);
  EXPECT_EQ(sentence_of(config.dump()),
            "process.user.additionalGids: 65537 groups are more than the kernel's 65536");
  config = json::parse(kGood);
  config["linux"]["namespaces"].push_back({{"type", "user"}});
  for (unsigned i = 0; i < 341; ++i)
    config["linux"]["uidMappings"].push_back({{"containerID", i}, {"hostID", i}, {"size", 1}});
  EXPECT_EQ(sentence_of(config.dump()), "linux.uidMappings: 341 mappings are more than the kernel's 340");
  const std::string deep(100000, '[');
  EXPECT_NE(sentence_of(deep).find("not JSON: line 1, column 100001"), std::string::npos);
  EXPECT_EQ(sentence_of(deep + std::string(100000, ']')), "expected an object, got an array");
}

}  // namespace
}  // namespace husk::spec
