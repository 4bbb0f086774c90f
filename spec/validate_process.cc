#include <set>
#include <tuple>

#include "spec/check.h"
#include "spec/validate.h"

namespace husk::spec {
namespace {

void check_rlimits(const std::vector<Rlimit>& rlimits, const std::string& list) {
  std::set<std::string_view> seen;
  for (size_t i = 0; i < rlimits.size(); ++i) {
    const Rlimit& limit = rlimits[i];
    const std::string where = item(list, i);
    check_known(where + ".type", kRlimits, limit.type, "resource limit");
    if (!seen.insert(limit.type).second) fail(where + ".type", quoted(limit.type) + " is given twice");
    if (limit.soft > limit.hard)
      fail(where + ".soft",
           std::to_string(limit.soft) + " is above the hard limit of " + std::to_string(limit.hard));
  }
}

// sched(7): 1024 ns ≤ runtime ≤ deadline ≤ period; no period is one as long as the deadline.
void check_deadline(const Scheduler& scheduler, const std::string& where) {
  constexpr uint64_t kMinRuntime = 1024;
  const auto& [runtime, deadline, period] = std::tie(scheduler.runtime, scheduler.deadline, scheduler.period);
  if (runtime < kMinRuntime) fail(where + ".runtime", std::to_string(runtime) + " is below 1024 nanoseconds");
  if (deadline < runtime)
    fail(where + ".deadline",
         std::to_string(deadline) + " is below the runtime of " + std::to_string(runtime));
  if (period && period < deadline)
    fail(where + ".period", std::to_string(period) + " is below the deadline of " + std::to_string(deadline));
}

// sched_setattr(2)
void check_scheduler(const Scheduler& scheduler, const std::string& where) {
  const std::string& policy = scheduler.policy;
  check_known(where + ".policy", kSchedulerPolicies, policy, "scheduler policy");
  if (policy == "SCHED_ISO") fail(where + ".policy", "Linux does not implement SCHED_ISO");
  if (scheduler.nice < -20 || scheduler.nice > 19)
    fail(where + ".nice", std::to_string(scheduler.nice) + " is not between -20 and 19");
  const bool realtime = policy == "SCHED_FIFO" || policy == "SCHED_RR";
  if (scheduler.priority != 0 && !realtime) fail(where + ".priority", "only for SCHED_FIFO and SCHED_RR");
  if (realtime && (scheduler.priority < 1 || scheduler.priority > 99))
    fail(where + ".priority", std::to_string(scheduler.priority) + " is not between 1 and 99");
  if (policy == "SCHED_DEADLINE")
    check_deadline(scheduler, where);
  else if (scheduler.runtime || scheduler.deadline || scheduler.period)
    fail(where, "runtime, deadline and period are only for SCHED_DEADLINE");
  for (size_t i = 0; i < scheduler.flags.size(); ++i)
    check_known(item(where + ".flags", i), kSchedulerFlags, scheduler.flags[i], "scheduler flag");
}

void check_user(const User& user, const std::string& where) {
  constexpr size_t kMaxGroups = 65536;  // NGROUPS_MAX
  check_id(where + ".uid", user.uid);
  check_id(where + ".gid", user.gid);
  const std::vector<uint32_t>& gids = user.additional_gids;
  if (gids.size() > kMaxGroups)
    fail(where + ".additionalGids", std::to_string(gids.size()) + " groups are more than the kernel's 65536");
  for (size_t i = 0; i < gids.size(); ++i) check_id(item(where + ".additionalGids", i), gids[i]);
  if (user.umask && *user.umask > 0777)
    fail(where + ".umask", std::to_string(*user.umask) + " is above 511 (octal 777)");
}

// A terminal's size is a struct winsize, of 16 bits a side.
void check_console_size(const Box& size, const std::string& where) {
  for (const auto& [name, value] : {std::pair("height", size.height), std::pair("width", size.width)})
    if (value > UINT16_MAX) fail(where + "." + name, std::to_string(value) + " is above 65535");
}

}  // namespace

void validate_process(const Process& process, const std::string& where) {
  if (process.args.empty()) fail(where + ".args", "must not be empty");
  if (process.args[0].empty()) fail(where + ".args[0]", "must not be empty");
  check_absolute(where + ".cwd", process.cwd);
  check_env(where + ".env", process.env);
  check_user(process.user, where + ".user");
  if (process.console_size) check_console_size(*process.console_size, where + ".consoleSize");
  check_rlimits(process.rlimits, where + ".rlimits");
  if (process.oom_score_adj && (*process.oom_score_adj < -1000 || *process.oom_score_adj > 1000))
    fail(where + ".oomScoreAdj", std::to_string(*process.oom_score_adj) + " is not between -1000 and 1000");
  if (process.scheduler) check_scheduler(*process.scheduler, where + ".scheduler");
  if (process.io_priority) {
    check_known(where + ".ioPriority.class", kIoClasses, process.io_priority->class_name, "I/O class");
    if (process.io_priority->priority < 0 || process.io_priority->priority > 7)
      fail(where + ".ioPriority.priority",
           std::to_string(process.io_priority->priority) + " is not between 0 and 7");
  }
  if (process.exec_cpu_affinity) {
    check_cpu_list(where + ".execCPUAffinity.initial", process.exec_cpu_affinity->initial);
    check_cpu_list(where + ".execCPUAffinity.final", process.exec_cpu_affinity->final);
  }
}

}  // namespace husk::spec
