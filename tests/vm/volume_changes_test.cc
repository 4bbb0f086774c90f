#include "vm/sandbox/volume_changes.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "libcontainer/base/error.h"
#include "tests/base/temp_folder.h"

namespace husk::vm {
namespace {

TEST(VolumeChanges, WhoServesTheGuestIsAskedWhereThereIsAVolumeAndMayNotBeKnown) {
  auto [ours, guests] = socket_pair(SOCK_STREAM);
  AgentClient agent(std::move(ours));
  VolumeChanges changes(agent);
  const TempFolder volume;
  int asked = 0;
  const auto unknown = [&asked]() -> std::vector<pid_t> {
    ++asked;
    throw_errno("open /proc/1/task/1/children", ENOENT);
  };
  changes.begin("c", unknown);
  EXPECT_EQ(asked, 0) << "it has no volume";
  changes.add("c", "/volume", open_file(volume.path, O_PATH | O_DIRECTORY));
  changes.begin("c", unknown);
  EXPECT_EQ(asked, 1);
  changes.remove("c");
}

}  // namespace
}  // namespace husk::vm
