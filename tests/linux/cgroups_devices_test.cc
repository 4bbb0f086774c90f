// Device rules as v2's program, which is run here, and as v1's writes.
#include "libcontainer/linux/cgroups.h"

#include <gtest/gtest.h>

#include "libcontainer/linux/cgroups_files.h"
#include "tests/linux/fake_cgroupfs.h"

namespace husk {
namespace {

using Rules = std::vector<spec::DeviceCgroup>;

// Runs the few instructions that device_program uses.
bool run_program(const std::vector<bpf_insn>& program, uint32_t type, uint32_t access, uint32_t major,
                 uint32_t minor) {
  uint32_t context[3] = {access << 16 | type, major, minor};
  uint64_t r[10] = {};
  for (size_t pc = 0; pc < program.size(); ++pc) {
    const bpf_insn& i = program[pc];
    auto imm = static_cast<uint64_t>(static_cast<int64_t>(i.imm));
    switch (i.code) {
      case BPF_LDX | BPF_MEM | BPF_W:
        r[i.dst_reg] = context[i.off / 4];
        break;
      case BPF_ALU64 | BPF_MOV | BPF_X:
        r[i.dst_reg] = r[i.src_reg];
        break;
      case BPF_ALU64 | BPF_MOV | BPF_K:
        r[i.dst_reg] = imm;
        break;
      case BPF_ALU64 | BPF_AND | BPF_K:
        r[i.dst_reg] &= imm;
        break;
      case BPF_ALU64 | BPF_RSH | BPF_K:
        r[i.dst_reg] >>= imm;
        break;
      case BPF_JMP | BPF_JNE | BPF_K:
        pc += r[i.dst_reg] != imm ? i.off : 0;
        break;
      case BPF_JMP | BPF_JSET | BPF_K:
        pc += r[i.dst_reg] & imm ? i.off : 0;
        break;
      case BPF_JMP | BPF_JA:
        pc += i.off;
        break;
      case BPF_JMP | BPF_EXIT:
        return r[0];
      default:
        ADD_FAILURE() << "instruction " << int(i.code);
        return false;
    }
  }
  ADD_FAILURE() << "no exit";
  return false;
}

TEST(CgroupDevices, Program) {
  constexpr uint32_t kB = BPF_DEVCG_DEV_BLOCK, kC = BPF_DEVCG_DEV_CHAR, kM = 1, kR = 2, kW = 4;
  struct Case {
    const char* name;
    Rules rules;
    uint32_t type, access, major, minor;
    bool allowed;
  };
  Rules deny_all = {{false, "a", {}, {}, "rwm"}};
  auto with = [](Rules rules, const Rules& more) {
    rules.insert(rules.end(), more.begin(), more.end());
    return rules;
  };
  Rules defaults = with(deny_all, default_device_rules());
  Rules pieces = with(deny_all, {{true, "c", 1, 3, "r"}, {true, "c", 1, 3, "w"}, {false, "c", 9, {}, "rwm"}});
  Rules hole = {{true, "a", {}, {}, "rwm"}, {false, "b", 8, {}, "w"}, {true, "b", 8, 1, "w"}};
  for (const Case& c : std::vector<Case>{
           {"null", defaults, kC, kR | kW, 1, 3, true},
           {"pts", defaults, kC, kR, 136, 77, true},
           {"tun", defaults, kC, kR | kW, 10, 200, true},
           {"kmsg", defaults, kC, kR, 1, 11, false},
           {"mknod of a disk", defaults, kB, kM, 8, 0, true},
           {"reading a disk", defaults, kB, kR, 8, 0, false},
           {"mknod and read", defaults, kB, kM | kR, 8, 0, false},
           {"two rules together", pieces, kC, kR | kW, 1, 3, true},
           {"not mknod", pieces, kC, kR | kW | kM, 1, 3, false},
           {"block is not char", pieces, kB, kR, 1, 3, false},
           {"default deny", {{true, "c", 1, 3, "rwm"}}, kC, kR, 1, 5, false},
           {"allow all", hole, kC, kR | kW | kM, 5, 5, true},
           {"hole", hole, kB, kW, 8, 0, false},
           {"hole, read", hole, kB, kR, 8, 0, true},
           {"island in the hole", hole, kB, kR | kW, 8, 1, true},
           {"typeless with numbers", with(deny_all, {{true, "", 8, {}, ""}}), kB, kR, 8, 3, true},
           {"typeless with numbers, other", with(deny_all, {{true, "", 8, {}, ""}}), kB, kR, 9, 3, false},
           {"-1 is any", with(deny_all, {{true, "c", -1, -1, "r"}}), kC, kR, 200, 3, true},
           {"a later deny all", with(defaults, deny_all), kC, kR, 1, 3, false},
       }) {
    SCOPED_TRACE(c.name);
    EXPECT_EQ(run_program(cgroup::device_program(c.rules), c.type, c.access, c.major, c.minor), c.allowed);
  }
  EXPECT_EQ(cgroup::device_program(with(default_device_rules(), deny_all)).size(), 6u + 2u);
  EXPECT_EQ(kind_of([] { cgroup::device_program({{true, "x", 1, 1, "r"}}); }), ErrorKind::kInvalid);
  EXPECT_EQ(kind_of([] { cgroup::device_program({{true, "c", 1, 1, "rx"}}); }), ErrorKind::kInvalid);
  EXPECT_EQ(kind_of([] { cgroup::device_program({{true, "c", 1ll << 40, 1, "r"}}); }), ErrorKind::kInvalid);
}

TEST(CgroupDevices, AllowsOnlyDefaults) {
  const spec::DeviceCgroup nothing{false, "a", {}, {}, "rwm"}, null{true, "c", 1, 3, "rw"};
  EXPECT_TRUE(allows_only_defaults({nothing}));
  EXPECT_TRUE(allows_only_defaults({{}}));
  EXPECT_TRUE(allows_only_defaults({nothing, null, {false, "c", 10, 229, "rwm"}}));
  EXPECT_FALSE(allows_only_defaults({}));
  EXPECT_FALSE(allows_only_defaults({null}));
  EXPECT_FALSE(allows_only_defaults({{true, "a", {}, {}, "rwm"}}));
  EXPECT_FALSE(allows_only_defaults({nothing, {true, "c", 10, 229, "rwm"}}));
  EXPECT_FALSE(allows_only_defaults({nothing, {true, "c", 1, {}, "r"}}));
  EXPECT_FALSE(allows_only_defaults({nothing, {true, "b", 8, 0, "r"}}));
}

TEST(CgroupDevices, V1Writes) {
  using Writes = std::vector<std::pair<std::string, std::string>>;
  Rules deny_all = {{false, "a", {}, {}, "rwm"}};
  Rules null = {deny_all[0], {true, "c", 1, 3, "rw"}};
  EXPECT_EQ(cgroup::device_writes(null, "a *:* rwm\n"),
            (Writes{{"devices.deny", "a"}, {"devices.allow", "c 1:3 rw"}}));
  EXPECT_EQ(cgroup::device_writes(null, "c 1:3 rw\n"), Writes{});
  // What stays allowed is never taken away in between.
  EXPECT_EQ(cgroup::device_writes(null, "c 1:3 rm\nb *:* m\n"),
            (Writes{{"devices.allow", "c 1:3 w"}, {"devices.deny", "c 1:3 m"}, {"devices.deny", "b *:* m"}}));
  EXPECT_EQ(cgroup::device_writes({{true, "a", {}, {}, "rwm"}, {false, "b", 8, {}, "w"}}, "c 1:3 rw\n"),
            (Writes{{"devices.allow", "a"}, {"devices.deny", "b 8:* w"}}));
  EXPECT_EQ(cgroup::device_writes({deny_all[0], {true, "a", 8, 1, "r"}}, ""),
            (Writes{{"devices.allow", "b 8:1 r"}, {"devices.allow", "c 8:1 r"}}));
  // In the order of the rules, which is how devices.list shows them.
  EXPECT_EQ(cgroup::device_writes({deny_all[0], {true, "c", 10, 229, "rwm"}, {true, "b", 8, 0, "r"}}, ""),
            (Writes{{"devices.allow", "c 10:229 rwm"}, {"devices.allow", "b 8:0 r"}}));
  // A later, wider denial clears what it covers.
  EXPECT_EQ(cgroup::device_writes({null[0], null[1], {false, "c", 1, {}, "w"}}, ""),
            (Writes{{"devices.allow", "c 1:3 r"}}));
  EXPECT_EQ(kind_of([&] {
              cgroup::device_writes({deny_all[0], {true, "c", 1, {}, "rw"}, {false, "c", 1, 3, "w"}}, "");
            }),
            ErrorKind::kUnsupported);
}

}  // namespace
}  // namespace husk
