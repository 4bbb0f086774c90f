#include "libcontainer/linux/seccomp.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"

namespace husk {
namespace {

// libseccomp returns -errno.
void check_lib(int result, const std::string& what) {
  if (result < 0) throw_errno("seccomp: " + what, -result);
}

uint32_t parse_action(const std::string& name, uint32_t errno_ret) {
  if (name == "SCMP_ACT_ALLOW") return SCMP_ACT_ALLOW;
  if (name == "SCMP_ACT_ERRNO") return SCMP_ACT_ERRNO(errno_ret & 0xffff);
  if (name == "SCMP_ACT_KILL" || name == "SCMP_ACT_KILL_THREAD") return SCMP_ACT_KILL_THREAD;
  if (name == "SCMP_ACT_KILL_PROCESS") return SCMP_ACT_KILL_PROCESS;
  if (name == "SCMP_ACT_TRAP") return SCMP_ACT_TRAP;
  if (name == "SCMP_ACT_TRACE") return SCMP_ACT_TRACE(errno_ret & 0xffff);
  if (name == "SCMP_ACT_LOG") return SCMP_ACT_LOG;
  if (name == "SCMP_ACT_NOTIFY")
    throw Error(ErrorKind::kUnsupported,
                "seccomp: SCMP_ACT_NOTIFY is not supported: no listener can see a guest's calls");
  throw Error(ErrorKind::kInvalid, "seccomp: unknown action \"" + printable(name, 64) + "\"");
}

scmp_compare parse_operator(const std::string& name) {
  static constexpr std::pair<const char*, scmp_compare> kRows[] = {
      {"SCMP_CMP_NE", SCMP_CMP_NE},
      {"SCMP_CMP_LT", SCMP_CMP_LT},
      {"SCMP_CMP_LE", SCMP_CMP_LE},
      {"SCMP_CMP_EQ", SCMP_CMP_EQ},
      {"SCMP_CMP_GE", SCMP_CMP_GE},
      {"SCMP_CMP_GT", SCMP_CMP_GT},
      {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ}};
  for (const auto& [text, op] : kRows)
    if (name == text) return op;
  throw Error(ErrorKind::kInvalid, "seccomp: unknown operator \"" + printable(name, 64) + "\"");
}

void add_architectures(scmp_filter_ctx ctx, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    std::string lower = name.starts_with("SCMP_ARCH_") ? name.substr(10) : name;
    std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return tolower(c); });
    uint32_t arch = seccomp_arch_resolve_name(lower.c_str());
    if (arch == 0)
      throw Error(ErrorKind::kInvalid, "seccomp: unknown architecture \"" + printable(name, 64) + "\"");
    int result = seccomp_arch_add(ctx, arch);
    if (result != -EEXIST) check_lib(result, "adding " + name);
  }
}

scmp_arg_cmp parse_arg(const spec::SeccompArg& arg) {
  scmp_compare op = parse_operator(arg.op);
  if (arg.index > 5)
    throw Error(ErrorKind::kInvalid, "seccomp: there is no argument " + std::to_string(arg.index));
  // For MASKED_EQ the spec's value is the mask, valueTwo the datum: libseccomp's order too.
  return {arg.index, op, arg.value, arg.value_two};
}

void add_rule(scmp_filter_ctx ctx, uint32_t action, int nr, const std::vector<scmp_arg_cmp>& args,
              const std::string& name) {
  int result = seccomp_rule_add_array(ctx, action, nr, static_cast<unsigned>(args.size()), args.data());
  // EEXIST: the same rule twice. EDOM, EOPNOTSUPP: not on one of the architectures.
  if (result != -EEXIST && result != -EDOM && result != -EOPNOTSUPP)
    check_lib(result, "the rule for " + name);
}

void add_syscall(scmp_filter_ctx ctx, const spec::SeccompSyscall& call, uint32_t default_action,
                 uint32_t default_errno) {
  uint32_t action = parse_action(call.action, call.errno_ret.value_or(default_errno));
  if (action == default_action) return;  // libseccomp refuses such rules
  std::vector<scmp_arg_cmp> args;
  unsigned seen = 0;
  bool repeated = false;
  for (const spec::SeccompArg& arg : call.args) {
    args.push_back(parse_arg(arg));
    repeated = repeated || (seen & 1u << arg.index);
    seen |= 1u << arg.index;
  }
  for (const std::string& name : call.names) {
    int nr = seccomp_syscall_resolve_name(name.c_str());
    if (nr == __NR_SCMP_ERROR) continue;
    if (!repeated) {
      add_rule(ctx, action, nr, args, name);
      continue;
    }
    // libseccomp cannot AND two conditions on one argument: such conditions are alternatives, as every
    // runtime has it.
    for (const scmp_arg_cmp& arg : args) add_rule(ctx, action, nr, {arg}, name);
  }
}

}  // namespace

std::string compile_seccomp(const spec::Seccomp& profile) {
  if (!profile.listener_path.empty())
    throw Error(ErrorKind::kUnsupported,
                "seccomp: listenerPath is not supported: no listener can see a guest's calls");
  uint32_t errno_ret = profile.default_errno_ret.value_or(EPERM);
  uint32_t action = parse_action(profile.default_action, errno_ret);
  std::unique_ptr<void, void (*)(void*)> ctx(seccomp_init(action), [](void* c) {
    if (c) seccomp_release(c);
  });
  if (!ctx) throw Error(ErrorKind::kInternal, "seccomp_init failed", ENOMEM);
  add_architectures(ctx.get(), profile.architectures);
  // no_new_privs is the process's own business, and a binary tree halves what each of its system calls pays.
  check_lib(seccomp_attr_set(ctx.get(), SCMP_FLTATR_CTL_NNP, 0), "CTL_NNP");
  seccomp_attr_set(ctx.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  for (const spec::SeccompSyscall& call : profile.syscalls) add_syscall(ctx.get(), call, action, errno_ret);
  UniqueFd out(check(memfd_create("seccomp", MFD_CLOEXEC), "memfd_create"));
  check_lib(seccomp_export_bpf(ctx.get(), out.get()), "exporting the filter");
  check(lseek(out.get(), 0, SEEK_SET), "lseek");
  return read_all(out.get(), 1u << 20, "reading the filter");
}

unsigned parse_seccomp_flags(const std::vector<std::string>& flags) {
  unsigned out = 0;
  for (const std::string& flag : flags) {
    if (flag == "SECCOMP_FILTER_FLAG_TSYNC") {
      out |= SECCOMP_FILTER_FLAG_TSYNC;
    } else if (flag == "SECCOMP_FILTER_FLAG_LOG") {
      out |= SECCOMP_FILTER_FLAG_LOG;
    } else if (flag == "SECCOMP_FILTER_FLAG_SPEC_ALLOW") {
      out |= SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    } else if (flag != "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") {  // that one is about listeners only
      throw Error(ErrorKind::kInvalid, "seccomp: unknown flag \"" + printable(flag, 64) + "\"");
    }
  }
  return out;
}

void load_seccomp(const std::string& program, unsigned flags) {
  sock_fprog prog{};
  prog.len = static_cast<unsigned short>(program.size() / sizeof(sock_filter));
  prog.filter = reinterpret_cast<sock_filter*>(const_cast<char*>(program.data()));
  check(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog), "loading the seccomp filter");
}

}  // namespace husk
