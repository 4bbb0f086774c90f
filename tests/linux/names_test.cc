// Names of the spec and what the kernel calls them.
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/capability.h>
#include <sys/resource.h>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/attributes.h"
#include "libcontainer/linux/capabilities.h"
#include "libcontainer/linux/namespaces.h"
#include "libcontainer/linux/rlimits.h"
#include "libcontainer/linux/sysctl.h"
#include "libcontainer/linux/text.h"

namespace husk {
namespace {

TEST(Capabilities, AreNamedAsLibcapNamesThem) {
  for (int i = 0; i <= CAP_LAST_CAP; ++i) {
    ASSERT_NE(capability_name(i), nullptr);
    char* name = cap_to_name(i);
    EXPECT_STRCASEEQ(capability_name(i), name);
    cap_free(name);
    EXPECT_EQ(capability_number(capability_name(i)), i);
  }
  EXPECT_EQ(capability_number("CAP_FLY"), -1);
  EXPECT_EQ(capability_number("chown"), -1);
  EXPECT_EQ(capability_name(64), nullptr);
}

TEST(Capabilities, UnknownNamesAreLeftOut) {
  std::vector<std::string> warnings;
  spec::Capabilities names;
  names.permitted = {"CAP_FLY"};
  names.ambient = {"CAP_CHOWN"};  // not permitted, so not ambient
  CapabilitySets sets = parse_capabilities(names, warnings);
  EXPECT_EQ(sets.permitted | sets.ambient, 0u);
  EXPECT_TRUE(warnings.empty());  // spec::config_warnings() told of them
}

TEST(Rlimits, Names) {
  EXPECT_EQ(parse_rlimit("RLIMIT_NOFILE"), static_cast<int>(RLIMIT_NOFILE));
  EXPECT_EQ(parse_rlimit("RLIMIT_RTTIME"), static_cast<int>(RLIMIT_RTTIME));
  EXPECT_THROW(parse_rlimit("RLIMIT_LUCK"), Error);
}

TEST(Namespaces, FlagsOfTheNewOnes) {
  using spec::NamespaceType;
  EXPECT_EQ(new_namespace_flags(
                {{NamespaceType::kPid, ""}, {NamespaceType::kNetwork, "/x"}, {NamespaceType::kUts, ""}}),
            CLONE_NEWPID | CLONE_NEWUTS);
  EXPECT_STREQ(namespace_file(NamespaceType::kMount), "mnt");
}

TEST(Sysctl, Paths) {
  EXPECT_EQ(sysctl_path("net.ipv4.ip_forward"), "/proc/sys/net/ipv4/ip_forward");
  EXPECT_EQ(sysctl_path("net/ipv4/conf/eth0.1/rp_filter"), "/proc/sys/net/ipv4/conf/eth0.1/rp_filter");
  EXPECT_EQ(sysctl_path("net.ipv4.conf.eth0/1.rp_filter"), "/proc/sys/net/ipv4/conf/eth0.1/rp_filter");
  for (const char* bad : {"", "/../x", "a/../../../etc/passwd", "../x"})
    EXPECT_THROW(sysctl_path(bad), Error) << bad;
}

TEST(CpuList, Ranges) {
  EXPECT_EQ(parse_cpu_list("0-2,5"), (std::vector<int>{0, 1, 2, 5}));
  for (const char* bad : {"a", "3-1", "1-", "-1", "99999", "1,,2"})
    EXPECT_THROW(parse_cpu_list(bad), Error) << bad;
}

TEST(Text, Split) {
  EXPECT_EQ(split("a:b::c", ':').size(), 4u);
  EXPECT_EQ(split("", ':').size(), 0u);
  EXPECT_EQ(split("a\n", '\n').size(), 1u);
}

}  // namespace
}  // namespace husk
