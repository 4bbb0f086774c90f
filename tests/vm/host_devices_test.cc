// Which of a config's devices become what in a VM.
#include "vm/sandbox/host_devices.h"

#include <gtest/gtest.h>

#include "libcontainer/base/error.h"

namespace husk::vm {
namespace {

spec::Device device(const std::string& path, const std::string& type, int64_t major, int64_t minor) {
  spec::Device d;
  d.path = path;
  d.type = type;
  d.major = major;
  d.minor = minor;
  return d;
}

TEST(HostDevices, WhatTheRulesAllow) {
  using Rules = std::vector<spec::DeviceCgroup>;
  const struct {
    Rules rules;
    const char* allowed;
  } rows[] = {
      {{}, ""},
      {{{false, "a", {}, {}, "rwm"}}, ""},
      {{{false, "", {}, {}, ""}, {true, "b", 7, 1, "r"}}, "r"},
      {{{true, "b", 7, -1, "rw"}}, "rw"},
      {{{true, "c", 7, 1, "rwm"}, {true, "b", 7, 2, "rwm"}}, ""},
      {{{true, "b", 7, 1, "rwm"}, {false, "b", 7, {}, "w"}}, "rm"},  // the last one that matches counts
      {{{true, "a", {}, {}, "rwm"}}, "rwm"},
  };
  for (const auto& row : rows)
    EXPECT_EQ(allowed_access(row.rules, device("/dev/x", "b", 7, 1)), row.allowed) << &row - rows;
}

spec::Config with(std::vector<spec::Device> devices, std::vector<spec::DeviceCgroup> rules) {
  spec::Config config;
  config.linux_.emplace().devices = std::move(devices);
  config.linux_->resources.emplace().devices = std::move(rules);
  return config;
}

TEST(HostDevices, TheKernelsOwnByItsName) {
  spec::Config config = with({device("/dev/nil", "c", 1, 3), device("/dev/pipe", "p", 0, 0)},
                             {{false, "", {}, {}, ""}, {true, "c", 1, {}, "rw"}});
  VmDevices devices = translate_devices(config);
  EXPECT_FALSE(devices.all);
  ASSERT_EQ(devices.list.size(), 1u);
  EXPECT_EQ(devices.list[0].path, "/dev/nil");
  EXPECT_EQ(devices.list[0].name, "null");
  // A rule for a whole major is one for what has another major in the guest, too.
  ASSERT_EQ(config.linux_->resources->devices.size(), 3u);
  EXPECT_EQ(config.linux_->resources->devices[2].minor, 3);
  EXPECT_EQ(config.linux_->resources->devices[2].access, "rw");
}

TEST(HostDevices, RulesThatAllowEverythingMeanTheGuests) {
  spec::Config config = with(
      {device("/dev/null", "c", 1, 3), device("/dev/nil", "c", 1, 3), device("/dev/gone", "b", 7, 1048000)},
      {{true, "a", {}, {}, "rwm"}});
  VmDevices devices = translate_devices(config);
  EXPECT_TRUE(devices.all);
  ASSERT_EQ(devices.list.size(), 1u);
  EXPECT_EQ(devices.list[0].path, "/dev/nil");
  EXPECT_EQ(config.linux_->devices.size(), 1u);
}

TEST(HostDevices, WhatIsNotThereIsRefused) {
  spec::Config config = with({device("/dev/gone", "b", 7, 1048000)}, {});
  try {
    translate_devices(config);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kNotFound);
    EXPECT_EQ(e.message(), "--device /dev/gone: the host has no such device (b 7:1048000)");
  }
}

}  // namespace
}  // namespace husk::vm
