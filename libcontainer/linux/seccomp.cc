#include "libcontainer/linux/seccomp.h"

#include <linux/audit.h>
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
#include "libcontainer/linux/seccomp_filter.h"
#include "libcontainer/linux/seccomp_i386.h"

namespace husk {
namespace {

constexpr unsigned kWaitKillable = 1U << 5;  // SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, newer than our headers

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
  if (name == "SCMP_ACT_NOTIFY") return SCMP_ACT_NOTIFY;
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

// 0: unknown.
uint32_t resolve_architecture(const std::string& name) {
  std::string lower = name.starts_with("SCMP_ARCH_") ? name.substr(10) : name;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return tolower(c); });
  return seccomp_arch_resolve_name(lower.c_str());
}

uint32_t parse_architecture(const std::string& name) {
  const uint32_t arch = resolve_architecture(name);
  if (arch == 0)
    throw Error(ErrorKind::kInvalid, "seccomp: unknown architecture \"" + printable(name, 64) + "\"");
  return arch;
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

// One entry of the profile, its words turned into numbers.
struct Call {
  const std::vector<std::string>* names;
  uint32_t action;
  std::vector<scmp_arg_cmp> args;
  bool alternatives;  // two conditions on one argument: libseccomp cannot AND them, and every runtime takes
                      // any
};

// The call that hands the listener over is made under the filter: who would have to answer it is not there
// yet.
void check_notify(const spec::Seccomp& profile, bool listener) {
  if (uses_listener(profile) && !listener)
    throw Error(ErrorKind::kUnsupported,
                "seccomp: SCMP_ACT_NOTIFY is not supported: no listener can see a guest's calls");
  for (const spec::SeccompSyscall& call : profile.syscalls)
    for (const std::string& name : call.names)
      if (call.action == "SCMP_ACT_NOTIFY" && name == "sendmsg")
        throw Error(ErrorKind::kUnsupported,
                    "seccomp: SCMP_ACT_NOTIFY cannot be used for the sendmsg syscall");
}

// Without errnoRet EPERM (config-linux.md, "Seccomp"): defaultErrnoRet is of the calls that no rule names.
Call parse_call(const spec::SeccompSyscall& call) {
  Call out{&call.names, parse_action(call.action, call.errno_ret.value_or(EPERM)), {}, false};
  unsigned seen = 0;
  for (const spec::SeccompArg& arg : call.args) {
    out.args.push_back(parse_arg(arg));
    out.alternatives = out.alternatives || (seen & 1u << arg.index);
    seen |= 1u << arg.index;
  }
  return out;
}

void add_lib_rules(scmp_filter_ctx ctx, const Call& call) {
  for (const std::string& name : *call.names) {
    int nr = seccomp_syscall_resolve_name(name.c_str());
    if (nr == __NR_SCMP_ERROR) continue;
    if (!call.alternatives) {
      add_rule(ctx, call.action, nr, call.args, name);
      continue;
    }
    for (const scmp_arg_cmp& arg : call.args) add_rule(ctx, call.action, nr, {arg}, name);
  }
}

// Some architectures' socketcall and ipc hide many calls behind one number. An allow-list that does not see
// through them is only stricter; a deny-list has to, and ours does where this is true.
bool sees_all_calls(uint32_t token) {
  return token == SCMP_ARCH_X86_64 || token == SCMP_ARCH_X86 || token == SCMP_ARCH_X32 ||
         token == SCMP_ARCH_AARCH64 || token == SCMP_ARCH_RISCV64;
}

bool is_allow_list(uint32_t default_action) {
  return default_action != SCMP_ACT_ALLOW && default_action != SCMP_ACT_LOG &&
         (default_action & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_TRACE;
}

filter::Op fast_operator(scmp_compare op) {
  switch (op) {
    case SCMP_CMP_NE:
      return filter::Op::kNe;
    case SCMP_CMP_LT:
      return filter::Op::kLt;
    case SCMP_CMP_LE:
      return filter::Op::kLe;
    case SCMP_CMP_GE:
      return filter::Op::kGe;
    case SCMP_CMP_GT:
      return filter::Op::kGt;
    case SCMP_CMP_MASKED_EQ:
      return filter::Op::kMaskedEq;
    default:
      return filter::Op::kEq;
  }
}

// A call that i386 has behind another one as well. What is behind cannot be looked at, so that only rules
// without conditions reach it.
void add_multiplexed(filter::Architecture& arch, const Call& call, const std::string& name, int pseudo,
                     std::vector<uint32_t>& numbers) {
  if (int direct = i386_direct_number(name); direct >= 0) numbers.push_back(static_cast<uint32_t>(direct));
  if (!call.args.empty()) return;
  bool socket = pseudo > -200;  // libseccomp: -100 - n for socketcall's n, -200 - n for ipc's
  auto which = static_cast<uint64_t>(-pseudo - (socket ? 100 : 200));
  auto nr = static_cast<uint32_t>(socket ? kI386Socketcall : kI386Ipc);
  arch.rules.push_back({nr, call.action, {{0, filter::Op::kEq, which, 0}}});
}

void add_fast_rules(filter::Architecture& arch, bool wide, const Call& call) {
  uint32_t lib_arch = arch.token;
  std::vector<filter::Condition> conditions;
  uint64_t mask = wide ? ~uint64_t{0} : 0xffffffff;
  for (const scmp_arg_cmp& arg : call.args)
    conditions.push_back({arg.arg, fast_operator(arg.op), arg.datum_a & mask, arg.datum_b & mask});
  std::vector<uint32_t> numbers;
  for (const std::string& name : *call.names) {
    int nr = seccomp_syscall_resolve_name_arch(lib_arch, name.c_str());
    if (nr >= 0)
      numbers.push_back(static_cast<uint32_t>(nr));
    else if (lib_arch == SCMP_ARCH_X86 && nr <= -100 && nr > -300)
      add_multiplexed(arch, call, name, nr, numbers);
  }
  for (uint32_t nr : numbers) {
    if (!call.alternatives) {
      arch.rules.push_back({nr, call.action, conditions});
      continue;
    }
    for (const filter::Condition& c : conditions) arch.rules.push_back({nr, call.action, {c}});
  }
}

// False where it has to be left to libseccomp, which is slower, and whose 2.5.4 gets two conditions of 64
// bits on one argument wrong.
bool compile_fast(const spec::Seccomp& profile, const std::vector<Call>& calls, uint32_t action,
                  std::string& out) {
  std::vector<uint32_t> tokens = {seccomp_arch_native()};
  for (const std::string& name : profile.architectures) {
    uint32_t token = parse_architecture(name);
    if (std::find(tokens.begin(), tokens.end(), token) == tokens.end()) tokens.push_back(token);
  }
  if (!is_allow_list(action) && !std::ranges::all_of(tokens, sees_all_calls)) return false;
  std::vector<filter::Architecture> architectures;
  for (uint32_t token : tokens) {
    bool x32 = token == SCMP_ARCH_X32;
    if (!(token & __AUDIT_ARCH_LE)) return false;
    if (x32 && tokens[0] != SCMP_ARCH_X86_64) return false;
    filter::Architecture arch{token, x32, {}};
    for (const Call& call : calls) add_fast_rules(arch, x32 || (token & __AUDIT_ARCH_64BIT), call);
    architectures.push_back(std::move(arch));
  }
  // A call that is newer than the profile should look like one that this kernel does not have: programs fall
  // back then.
  bool is_errno = (action & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO;
  out = filter::compile(architectures, action, is_errno ? SCMP_ACT_ERRNO(ENOSYS) : action);
  return true;
}

std::string compile_with_libseccomp(const spec::Seccomp& profile, const std::vector<Call>& calls,
                                    uint32_t action) {
  std::unique_ptr<void, void (*)(void*)> ctx(seccomp_init(action), [](void* c) {
    if (c) seccomp_release(c);
  });
  if (!ctx) throw Error(ErrorKind::kInternal, "seccomp_init failed", ENOMEM);
  for (const std::string& name : profile.architectures) {
    int result = seccomp_arch_add(ctx.get(), parse_architecture(name));
    if (result != -EEXIST) check_lib(result, "adding " + name);
  }
  // no_new_privs is the process's own business, and a binary tree halves what each of its system calls pays.
  check_lib(seccomp_attr_set(ctx.get(), SCMP_FLTATR_CTL_NNP, 0), "CTL_NNP");
  seccomp_attr_set(ctx.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  for (const Call& call : calls)
    if (call.action != action)
      add_lib_rules(ctx.get(), call);  // it refuses rules that say what the default says
  UniqueFd out(check(memfd_create("seccomp", MFD_CLOEXEC), "memfd_create"));
  check_lib(seccomp_export_bpf(ctx.get(), out.get()), "exporting the filter");
  check(lseek(out.get(), 0, SEEK_SET), "lseek");
  return read_all(out.get(), 1u << 20, "reading the filter");
}

}  // namespace

bool knows_seccomp_architecture(const std::string& name) {
  return resolve_architecture(name) != 0;
}

bool uses_listener(const spec::Seccomp& profile) {
  return std::any_of(profile.syscalls.begin(), profile.syscalls.end(),
                     [](const spec::SeccompSyscall& call) { return call.action == "SCMP_ACT_NOTIFY"; });
}

std::string compile_seccomp(const spec::Seccomp& profile, bool listener) {
  check_notify(profile, listener);
  uint32_t action = parse_action(profile.default_action, profile.default_errno_ret.value_or(EPERM));
  std::vector<Call> calls;
  for (const spec::SeccompSyscall& call : profile.syscalls) calls.push_back(parse_call(call));
  std::string program;
  if (compile_fast(profile, calls, action, program)) return program;
  return compile_with_libseccomp(profile, calls, action);
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
    } else if (flag == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") {
      out |= kWaitKillable;
    } else {
      throw Error(ErrorKind::kInvalid, "seccomp: unknown flag \"" + printable(flag, 64) + "\"");
    }
  }
  return out;
}

namespace {

int load(const std::string& program, unsigned flags) {
  sock_fprog prog{};
  prog.len = static_cast<unsigned short>(program.size() / sizeof(sock_filter));
  prog.filter = reinterpret_cast<sock_filter*>(const_cast<char*>(program.data()));
  return static_cast<int>(
      check(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog), "loading the seccomp filter"));
}

}  // namespace

void load_seccomp(const std::string& program, unsigned flags) {
  load(program, flags & ~kWaitKillable);  // only valid with a listener
}

UniqueFd load_seccomp_with_listener(const std::string& program, unsigned flags) {
  // Alone in its process there is nobody to synchronize with, and the kernel takes not both.
  flags &= ~static_cast<unsigned>(SECCOMP_FILTER_FLAG_TSYNC);
  return UniqueFd(load(program, flags | SECCOMP_FILTER_FLAG_NEW_LISTENER));
}

}  // namespace husk
