#include "vm/sandbox/user_namespace.h"

#include <gtest/gtest.h>

namespace husk::vm {
namespace {

TEST(UserNamespace, SubIdsBehindOnesOwn) {
  std::vector<spec::IdMapping> maps = {{0, 1000, 1}};
  append_sub_ids(maps, "root:0:9\nme:100000:65536\nmeme:5:5\n1000:200000:10\nme:x:y\n", "me", 1000);
  ASSERT_EQ(maps.size(), 3u);
  EXPECT_EQ(maps[1].container_id, 1u);
  EXPECT_EQ(maps[1].host_id, 100000u);
  EXPECT_EQ(maps[1].size, 65536u);
  EXPECT_EQ(maps[2].container_id, 65537u);
  EXPECT_EQ(maps[2].host_id, 200000u);
}

}  // namespace
}  // namespace husk::vm
