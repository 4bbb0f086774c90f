// Every input that a fuzzer found worth keeping, fed to its target again: what once crashed stays mended.
#include <gtest/gtest.h>

#include <filesystem>

#include "libcontainer/base/file.h"
#include "tests/fuzz/targets.h"

namespace husk::fuzz {
namespace {

class Corpus : public testing::TestWithParam<Target> {};

TEST_P(Corpus, DoesNoHarm) {
  size_t count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string("tests/fuzz/corpus/") + GetParam().name)) {
    SCOPED_TRACE(entry.path());
    GetParam().run(read_file(entry.path()));
    ++count;
  }
  EXPECT_GT(count, 0u);
}

INSTANTIATE_TEST_SUITE_P(Fuzz, Corpus, testing::ValuesIn(kTargets),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace husk::fuzz
