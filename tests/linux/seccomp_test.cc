#include "libcontainer/linux/seccomp.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <map>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"

namespace husk {
namespace {

// The kernel's side of a filter: classic BPF over seccomp_data.
uint32_t interpret(const std::string& program, const seccomp_data& data) {
  const auto* code = reinterpret_cast<const sock_filter*>(program.data());
  size_t count = program.size() / sizeof(sock_filter);
  uint32_t a = 0;
  for (size_t pc = 0; pc < count; ++pc) {
    const sock_filter& i = code[pc];
    switch (i.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        memcpy(&a, reinterpret_cast<const char*>(&data) + i.k, sizeof a);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        a &= i.k;
        break;
      case BPF_JMP | BPF_JA:
        pc += i.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        pc += a == i.k ? i.jt : i.jf;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        pc += a > i.k ? i.jt : i.jf;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        pc += a >= i.k ? i.jt : i.jf;
        break;
      case BPF_RET | BPF_K:
        return i.k;
      default:
        ADD_FAILURE() << "instruction " << i.code;
        return 0;
    }
  }
  ADD_FAILURE() << "fell off the end";
  return 0;
}

uint32_t verdict(const std::string& program, uint32_t arch, int nr, uint64_t arg0 = 0, uint64_t arg1 = 0) {
  seccomp_data data{};
  data.nr = nr;
  data.arch = arch;
  data.args[0] = arg0;
  data.args[1] = arg1;
  return interpret(program, data);
}

constexpr uint32_t kErrno = SECCOMP_RET_ERRNO;

spec::Seccomp docker_like() {
  spec::Seccomp s;
  s.default_action = "SCMP_ACT_ERRNO";
  s.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"};
  s.syscalls.push_back({{"read", "write", "open", "close", "no_such_call", "futex", "exit_group", "mmap"},
                        "SCMP_ACT_ALLOW",
                        {},
                        {}});
  s.syscalls.push_back({{"personality"}, "SCMP_ACT_ALLOW", {}, {{0, 0, 0, "SCMP_CMP_EQ"}}});
  s.syscalls.push_back({{"personality"}, "SCMP_ACT_ALLOW", {}, {{0, 0xffffffff, 0, "SCMP_CMP_EQ"}}});
  s.syscalls.push_back({{"clone"}, "SCMP_ACT_ALLOW", {}, {{0, 0x7e020000, 0, "SCMP_CMP_MASKED_EQ"}}});
  s.syscalls.push_back({{"clone3"}, "SCMP_ACT_ERRNO", ENOSYS, {}});
  return s;
}

TEST(Seccomp, AllowsWhatIsListed) {
  std::string p = compile_seccomp(docker_like());
  EXPECT_EQ(verdict(p, AUDIT_ARCH_X86_64, 0), SECCOMP_RET_ALLOW);           // read
  EXPECT_EQ(verdict(p, AUDIT_ARCH_I386, 3), SECCOMP_RET_ALLOW);             // read
  EXPECT_EQ(verdict(p, AUDIT_ARCH_X86_64, 0x40000000), SECCOMP_RET_ALLOW);  // read of x32
  EXPECT_EQ(verdict(p, AUDIT_ARCH_X86_64, 165), kErrno | EPERM);            // mount
  EXPECT_EQ(verdict(p, AUDIT_ARCH_X86_64, -1), kErrno | EPERM);
  EXPECT_EQ(verdict(p, AUDIT_ARCH_AARCH64, 0), SECCOMP_RET_KILL_THREAD);
}

TEST(Seccomp, LooksAtArguments) {
  std::string p = compile_seccomp(docker_like());
  EXPECT_EQ(verdict(p, AUDIT_ARCH_X86_64, 135, 0), SECCOMP_RET_ALLOW);  // personality
  EXPECT_EQ(verdict(p, AUDIT_ARCH_X86_64, 135, 0xffffffff), SECCOMP_RET_ALLOW);
  EXPECT_EQ(verdict(p, AUDIT_ARCH_X86_64, 135, 0x1ffffffff), kErrno | EPERM);
  EXPECT_EQ(verdict(p, AUDIT_ARCH_X86_64, 56, 0x11), SECCOMP_RET_ALLOW);  // clone
  EXPECT_EQ(verdict(p, AUDIT_ARCH_X86_64, 56, 0x10000000), kErrno | EPERM);
}

TEST(Seccomp, NewerCallsLookMissing) {
  std::string p = compile_seccomp(docker_like());
  EXPECT_EQ(verdict(p, AUDIT_ARCH_X86_64, 435), kErrno | ENOSYS);  // clone3, the newest that is named
  EXPECT_EQ(verdict(p, AUDIT_ARCH_X86_64, 434), kErrno | EPERM);
  EXPECT_EQ(verdict(p, AUDIT_ARCH_X86_64, 460), kErrno | ENOSYS);
}

TEST(Seccomp, TwoConditionsOnOneArgumentAreAlternatives) {
  spec::Seccomp s;
  s.default_action = "SCMP_ACT_ERRNO";
  s.default_errno_ret = 7;
  s.syscalls.push_back(
      {{"socket"}, "SCMP_ACT_ALLOW", {}, {{0, 1, 0, "SCMP_CMP_EQ"}, {0, 2, 0, "SCMP_CMP_EQ"}}});
  std::string p = compile_seccomp(s);
  for (uint64_t domain : {1, 2}) EXPECT_EQ(verdict(p, AUDIT_ARCH_X86_64, 41, domain), SECCOMP_RET_ALLOW);
  EXPECT_EQ(verdict(p, AUDIT_ARCH_X86_64, 41, 3), kErrno | 7);
}

// libseccomp 2.5.4 takes 101 for what is at least 2^33 here.
TEST(Seccomp, DenyListOfTwoConditionsOf64Bits) {
  spec::Seccomp s;
  s.default_action = "SCMP_ACT_ALLOW";
  s.architectures = {"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"};
  s.syscalls.push_back({{"ftruncate"}, "SCMP_ACT_ERRNO", 65, {{1, 100, 0, "SCMP_CMP_LE"}}});
  s.syscalls.push_back({{"ftruncate"}, "SCMP_ACT_ERRNO", 66, {{1, 1ULL << 33, 0, "SCMP_CMP_GE"}}});
  s.syscalls.push_back({{"socket"}, "SCMP_ACT_ERRNO", 67, {}});
  const std::string p = compile_seccomp(s);
  for (const auto& [size, wanted] : std::map<uint64_t, uint32_t>{{0, kErrno | 65},
                                                                 {100, kErrno | 65},
                                                                 {101, SECCOMP_RET_ALLOW},
                                                                 {(1ULL << 33) - 1, SECCOMP_RET_ALLOW},
                                                                 {1ULL << 33, kErrno | 66}})
    EXPECT_EQ(verdict(p, AUDIT_ARCH_X86_64, 77, 0, size), wanted) << size;
  // i386's socket(2) and what is behind its socketcall(2).
  EXPECT_EQ(verdict(p, AUDIT_ARCH_I386, 359, 0), kErrno | 67);
  EXPECT_EQ(verdict(p, AUDIT_ARCH_I386, 102, 1), kErrno | 67);
  EXPECT_EQ(verdict(p, AUDIT_ARCH_I386, 102, 2), SECCOMP_RET_ALLOW);
}

// What libseccomp makes of the same rules is what every other runtime does.
TEST(Seccomp, AgreesWithLibseccomp) {
  struct Row {
    const char* name;
    scmp_compare op;
  };
  static constexpr Row kOps[] = {{"SCMP_CMP_NE", SCMP_CMP_NE},
                                 {"SCMP_CMP_LT", SCMP_CMP_LT},
                                 {"SCMP_CMP_LE", SCMP_CMP_LE},
                                 {"SCMP_CMP_EQ", SCMP_CMP_EQ},
                                 {"SCMP_CMP_GE", SCMP_CMP_GE},
                                 {"SCMP_CMP_GT", SCMP_CMP_GT},
                                 {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
  const uint64_t values[] = {0,          1,           0x7fffffff,  0x80000000,
                             0xffffffff, 0x100000000, 0x1ffffffff, ~uint64_t{0}};
  for (const Row& op : kOps) {
    for (uint64_t value : values) {
      spec::Seccomp s;
      s.default_action = "SCMP_ACT_ERRNO";
      s.syscalls.push_back({{"read"}, "SCMP_ACT_ALLOW", {}, {}});
      s.syscalls.push_back({{"write"},
                            "SCMP_ACT_ALLOW",
                            {},
                            {{0, value, value & 0xf0000000f, op.name}, {1, 5, 0, "SCMP_CMP_GT"}}});
      std::string ours = compile_seccomp(s);
      scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
      seccomp_rule_add(ctx, SCMP_ACT_ALLOW, 0, 0);
      scmp_arg_cmp args[] = {{0, op.op, value, value & 0xf0000000f}, {1, SCMP_CMP_GT, 5, 0}};
      ASSERT_EQ(seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, 1, 2, args), 0);
      UniqueFd fd(memfd_create("filter", 0));
      ASSERT_EQ(seccomp_export_bpf(ctx, fd.get()), 0);
      seccomp_release(ctx);
      lseek(fd.get(), 0, SEEK_SET);
      std::string theirs = read_all(fd.get(), 1 << 20, "filter");
      for (int nr : {0, 1})
        for (uint64_t arg0 : values)
          for (uint64_t arg1 : values)
            EXPECT_EQ(verdict(ours, AUDIT_ARCH_X86_64, nr, arg0, arg1),
                      verdict(theirs, AUDIT_ARCH_X86_64, nr, arg0, arg1))
                << op.name << " " << value << ": " << nr << " " << arg0 << " " << arg1;
    }
  }
}

TEST(Seccomp, I386HasItsSocketsTwice) {
  spec::Seccomp s;
  s.default_action = "SCMP_ACT_ERRNO";
  s.architectures = {"SCMP_ARCH_X86"};
  s.syscalls.push_back({{"socket", "semget"}, "SCMP_ACT_ALLOW", {}, {}});
  std::string p = compile_seccomp(s);
  EXPECT_EQ(verdict(p, AUDIT_ARCH_I386, 359), SECCOMP_RET_ALLOW);
  EXPECT_EQ(verdict(p, AUDIT_ARCH_I386, 102, 1), SECCOMP_RET_ALLOW);
  EXPECT_EQ(verdict(p, AUDIT_ARCH_I386, 102, 2), kErrno | EPERM);
  EXPECT_EQ(verdict(p, AUDIT_ARCH_I386, 117, 2), SECCOMP_RET_ALLOW);
}

TEST(Seccomp, DenyListsAreLibseccomps) {
  spec::Seccomp s;
  s.default_action = "SCMP_ACT_ALLOW";
  s.architectures = {"SCMP_ARCH_X86"};
  s.syscalls.push_back({{"socket"}, "SCMP_ACT_ERRNO", 1, {}});
  std::string p = compile_seccomp(s);
  EXPECT_EQ(verdict(p, AUDIT_ARCH_X86_64, 41), kErrno | 1);
  EXPECT_EQ(verdict(p, AUDIT_ARCH_I386, 102, 1), kErrno | 1);  // socketcall(SYS_SOCKET)
  EXPECT_EQ(verdict(p, AUDIT_ARCH_I386, 102, 2), SECCOMP_RET_ALLOW);
}

TEST(Seccomp, RefusesWhatItDoesNotKnow) {
  auto kind = [](auto change) {
    spec::Seccomp s = docker_like();
    change(s);
    try {
      compile_seccomp(s);
    } catch (const Error& e) {
      return e.kind();
    }
    return ErrorKind::kInternal;
  };
  EXPECT_EQ(kind([](auto& s) { s.default_action = "SCMP_ACT_MAYBE"; }), ErrorKind::kInvalid);
  EXPECT_EQ(kind([](auto& s) { s.architectures.push_back("SCMP_ARCH_Z80"); }), ErrorKind::kInvalid);
  EXPECT_EQ(kind([](auto& s) { s.syscalls[1].args[0].op = "SCMP_CMP_ODD"; }), ErrorKind::kInvalid);
  EXPECT_EQ(kind([](auto& s) { s.syscalls[1].args[0].index = 6; }), ErrorKind::kInvalid);
  EXPECT_EQ(kind([](auto& s) { s.syscalls[0].action = "SCMP_ACT_NOTIFY"; }), ErrorKind::kUnsupported);
  EXPECT_THROW(parse_seccomp_flags({"SECCOMP_FILTER_FLAG_NONE"}), Error);
  spec::Seccomp notify = docker_like();
  notify.syscalls.push_back({{"mkdir"}, "SCMP_ACT_NOTIFY", {}, {}});
  EXPECT_EQ(verdict(compile_seccomp(notify, true), AUDIT_ARCH_X86_64, 83), SECCOMP_RET_USER_NOTIF);
  notify.syscalls.push_back({{"sendmsg"}, "SCMP_ACT_NOTIFY", {}, {}});
  EXPECT_THROW(compile_seccomp(notify, true), Error);
  EXPECT_EQ(parse_seccomp_flags({"SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG"}), 3u);
}

}  // namespace
}  // namespace husk
