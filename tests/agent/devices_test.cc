#include "agent/guest/devices.h"

#include <gtest/gtest.h>

#include "libcontainer/base/error.h"

namespace husk::guest {
namespace {

TEST(Devices, RulesNameTheGuestsNumbers) {
  const DeviceNumbers numbers = {
      {{"b", {7, 0}}, {254, 16}}, {{"b", {254, 16}}, {7, 0}}, {{"c", {10, 5}}, {10, 6}}};
  std::vector<spec::DeviceCgroup> rules = {{false, "a", {}, {}, "rwm"}, {true, "b", 7, 0, "r"},
                                           {true, "b", 254, 16, "w"},   {true, "u", 10, 5, "m"},
                                           {true, "b", 7, {}, "rwm"},   {true, "c", 7, 0, "rwm"}};
  localize_rules(rules, numbers);
  EXPECT_EQ(rules[1].major, 254);
  EXPECT_EQ(rules[1].minor, 16);
  EXPECT_EQ(rules[2].major, 7);  // each once
  EXPECT_EQ(rules[3].minor, 6);
  EXPECT_EQ(rules[4].major, 7);
  EXPECT_EQ(rules[5].major, 7);
}

TEST(Devices, ByTheKernelsName) {
  spec::Config config;
  spec::Device nil;
  nil.path = "/dev/nil";
  nil.type = "c";
  nil.major = 99;
  config.linux_.emplace().devices = {nil};
  config.linux_->resources.emplace().devices = {{true, "c", 99, 0, "rw"}};
  EXPECT_EQ(localize_devices(config, {{"/dev/nil", "null", ""}}, false).size(), 1u);
  EXPECT_EQ(config.linux_->devices[0].major, 1);
  EXPECT_EQ(config.linux_->devices[0].minor, 3);
  EXPECT_EQ(config.linux_->resources->devices[0].minor, 3);
  localize_devices(config, {}, true);
  EXPECT_GT(config.linux_->devices.size(), 1u);
  for (const spec::Device& device : config.linux_->devices) EXPECT_EQ(device.type, "c") << device.path;
  EXPECT_THROW(localize_devices(config, {{"/dev/other", "null", ""}}, false), Error);
  try {
    localize_devices(config, {{"/dev/nil", "no-such", ""}}, false);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.message(), "--device /dev/nil: the guest's kernel has no /dev/no-such");
  }
}

}  // namespace
}  // namespace husk::guest
