#include "spec/size.h"

#include <gtest/gtest.h>

#include "libcontainer/base/error.h"

namespace husk::spec {
namespace {

TEST(Size, UnitsArePowersOf1024) {
  const std::pair<const char*, int64_t> kRows[] = {{"0", 0},
                                                   {"-1", -1},
                                                   {"67108864", 67108864},
                                                   {"1k", 1024},
                                                   {"50M", 50 << 20},
                                                   {"50 MB", 50 << 20},
                                                   {"1.5GiB", int64_t{3} << 29},
                                                   {"2b", 2},
                                                   {"1T", int64_t{1} << 40}};
  for (const auto& [text, bytes] : kRows) EXPECT_EQ(parse_size(text), bytes) << text;
}

TEST(Size, EverythingElseIsRefused) {
  for (const char* text :
       {"", "M", "1x", "1MM", "1bb", "-1k", "nan", "inf", "0x10", "1e3", "99999999P", "1 2"})
    EXPECT_THROW(parse_size(text), Error) << text;
}

}  // namespace
}  // namespace husk::spec
