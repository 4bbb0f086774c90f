#include "libcontainer/linux/mounts.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include "libcontainer/base/error.h"

namespace husk {
namespace {

MountOptions parse(std::vector<std::string> options, const char* type = "bind") {
  return parse_mount_options({"/x", type, "/y", std::move(options), {}, {}});
}

struct FlagRow {
  const char* option;
  unsigned long flags;
  uint64_t set, clear;
};

TEST(MountOptions, Flags) {
  const FlagRow rows[] = {
      {"ro", MS_RDONLY, MOUNT_ATTR_RDONLY, 0},
      {"rw", 0, 0, MOUNT_ATTR_RDONLY},
      {"nosuid", MS_NOSUID, MOUNT_ATTR_NOSUID, 0},
      {"suid", 0, 0, MOUNT_ATTR_NOSUID},
      {"nodev", MS_NODEV, MOUNT_ATTR_NODEV, 0},
      {"dev", 0, 0, MOUNT_ATTR_NODEV},
      {"noexec", MS_NOEXEC, MOUNT_ATTR_NOEXEC, 0},
      {"exec", 0, 0, MOUNT_ATTR_NOEXEC},
      {"sync", MS_SYNCHRONOUS, 0, 0},
      {"async", 0, 0, 0},
      {"dirsync", MS_DIRSYNC, 0, 0},
      {"lazytime", MS_LAZYTIME, 0, 0},
      {"silent", MS_SILENT, 0, 0},
      {"iversion", MS_I_VERSION, 0, 0},
      {"mand", MS_MANDLOCK, 0, 0},
      {"nodiratime", MS_NODIRATIME, MOUNT_ATTR_NODIRATIME, 0},
      {"noatime", MS_NOATIME, MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
      {"relatime", MS_RELATIME, MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
      {"strictatime", MS_STRICTATIME, MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
      {"defaults", 0, 0, 0},
  };
  for (const FlagRow& row : rows) {
    MountOptions o = parse({row.option});
    EXPECT_EQ(o.flags, row.flags) << row.option;
    EXPECT_EQ(o.attr_set, row.set) << row.option;
    EXPECT_EQ(o.attr_clear, row.clear) << row.option;
    EXPECT_EQ(o.data, "") << row.option;
  }
}

TEST(MountOptions, TheLastOneWins) {
  MountOptions o = parse({"ro", "rw", "nosuid"});
  EXPECT_EQ(o.flags, static_cast<unsigned long>(MS_NOSUID));
  EXPECT_EQ(o.attr_set, static_cast<uint64_t>(MOUNT_ATTR_NOSUID));
}

TEST(MountOptions, Recursive) {
  MountOptions o = parse({"rbind", "rro", "rnosuid", "rexec", "rnoatime"});
  EXPECT_TRUE(o.bind && o.recursive);
  EXPECT_EQ(o.rec_set, static_cast<uint64_t>(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME));
  EXPECT_EQ(o.rec_clear, static_cast<uint64_t>(MOUNT_ATTR_NOEXEC | MOUNT_ATTR__ATIME));
  EXPECT_EQ(o.attr_set, 0u);
}

TEST(MountOptions, Propagation) {
  struct {
    const char* option;
    unsigned long flag;
    bool recursive;
  } rows[] = {{"private", MS_PRIVATE, false},       {"rprivate", MS_PRIVATE, true},
              {"shared", MS_SHARED, false},         {"rshared", MS_SHARED, true},
              {"slave", MS_SLAVE, false},           {"rslave", MS_SLAVE, true},
              {"unbindable", MS_UNBINDABLE, false}, {"runbindable", MS_UNBINDABLE, true}};
  for (const auto& row : rows) {
    MountOptions o = parse({row.option});
    EXPECT_EQ(o.propagation, row.flag) << row.option;
    EXPECT_EQ(o.propagation_recursive, row.recursive) << row.option;
  }
}

TEST(MountOptions, DataIsWhatNobodyElseKnows) {
  MountOptions o = parse({"nosuid", "mode=755", "size=64k", "rorange"}, "tmpfs");
  EXPECT_EQ(o.data, "mode=755,size=64k,rorange");
  EXPECT_FALSE(o.bind);
  EXPECT_TRUE(parse({"bind"}, "none").bind);
  EXPECT_TRUE(parse({"tmpcopyup"}, "tmpfs").tmpcopyup);
  EXPECT_THROW(parse({"tmpcopyup"}, "proc"), Error);
  EXPECT_THROW(parse({"idmap"}, "tmpfs"), Error);
}

}  // namespace
}  // namespace husk
