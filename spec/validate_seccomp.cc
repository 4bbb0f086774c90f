#include "spec/check.h"

namespace husk::spec {
namespace {

void check_action(const std::string& where, const std::string& action) {
  check_known(where, kSeccompActions, action, "seccomp action");
}

// config-linux.md: an errno for an action that has none is an error. The kernel's SECCOMP_RET_DATA has 16
// bits, an errno (MAX_ERRNO) fewer.
void check_errno(const std::string& where, const std::string& action,
                 const std::optional<uint32_t>& errno_ret) {
  if (errno_ret && action != "SCMP_ACT_ERRNO" && action != "SCMP_ACT_TRACE")
    fail(where, "only for SCMP_ACT_ERRNO and SCMP_ACT_TRACE, not for " + action);
  const uint32_t max = action == "SCMP_ACT_ERRNO" ? 4095 : 65535;
  if (errno_ret && *errno_ret > max)
    fail(where, std::to_string(*errno_ret) + " is above " + std::to_string(max));
}

void check_syscall(const SeccompSyscall& call, const std::string& where) {
  if (call.names.empty()) fail(where + ".names", "must not be empty");
  for (size_t i = 0; i < call.names.size(); ++i)
    if (call.names[i].empty()) fail(item(where + ".names", i), "must not be empty");
  check_action(where + ".action", call.action);
  check_errno(where + ".errnoRet", call.action, call.errno_ret);
  for (size_t i = 0; i < call.args.size(); ++i) {
    const std::string arg = item(where + ".args", i);
    if (call.args[i].index > 5)
      fail(arg + ".index", std::to_string(call.args[i].index) + " is above 5, the last argument");
    check_known(arg + ".op", kSeccompOps, call.args[i].op, "seccomp operator");
  }
}

}  // namespace

void validate_seccomp(const Seccomp& seccomp, const std::string& where) {
  check_action(where + ".defaultAction", seccomp.default_action);
  if (seccomp.default_action == "SCMP_ACT_NOTIFY")
    fail(where + ".defaultAction",
         "SCMP_ACT_NOTIFY cannot be the default: nobody could answer the first call");
  check_errno(where + ".defaultErrnoRet", seccomp.default_action, seccomp.default_errno_ret);
  for (size_t i = 0; i < seccomp.architectures.size(); ++i)
    check_known(item(where + ".architectures", i), kSeccompArchs, seccomp.architectures[i], "architecture");
  for (size_t i = 0; i < seccomp.flags.size(); ++i)
    check_known(item(where + ".flags", i), kSeccompFlags, seccomp.flags[i], "seccomp flag");
  bool notify = false;
  for (size_t i = 0; i < seccomp.syscalls.size(); ++i) {
    check_syscall(seccomp.syscalls[i], item(where + ".syscalls", i));
    notify |= seccomp.syscalls[i].action == "SCMP_ACT_NOTIFY";
  }
  if (notify && seccomp.listener_path.empty())
    fail(where + ".listenerPath", "missing, but SCMP_ACT_NOTIFY needs it");
  if (!seccomp.listener_path.empty()) check_absolute(where + ".listenerPath", seccomp.listener_path);
  if (!seccomp.listener_metadata.empty() && seccomp.listener_path.empty())
    fail(where + ".listenerMetadata", "needs listenerPath");
}

}  // namespace husk::spec
