#include <set>

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

// sched_setattr(2)
void check_scheduler(const Scheduler& scheduler, const std::string& where) {
  const std::string& policy = scheduler.policy;
  if (policy.empty()) fail(where + ".policy", "missing");
  check_known(where + ".policy", kSchedulerPolicies, policy, "scheduler policy");
  if (scheduler.nice < -20 || scheduler.nice > 19)
    fail(where + ".nice", std::to_string(scheduler.nice) + " is not between -20 and 19");
  const bool realtime = policy == "SCHED_FIFO" || policy == "SCHED_RR";
  if (scheduler.priority != 0 && !realtime) fail(where + ".priority", "only for SCHED_FIFO and SCHED_RR");
  if (realtime && (scheduler.priority < 1 || scheduler.priority > 99))
    fail(where + ".priority", std::to_string(scheduler.priority) + " is not between 1 and 99");
  if ((scheduler.runtime || scheduler.deadline || scheduler.period) && policy != "SCHED_DEADLINE")
    fail(where, "runtime, deadline and period are only for SCHED_DEADLINE");
  for (size_t i = 0; i < scheduler.flags.size(); ++i)
    check_known(item(where + ".flags", i), kSchedulerFlags, scheduler.flags[i], "scheduler flag");
}

}  // namespace

void validate_process(const Process& process, const std::string& where) {
  if (process.args.empty()) fail(where + ".args", "must not be empty");
  if (process.args[0].empty()) fail(where + ".args[0]", "must not be empty");
  check_absolute(where + ".cwd", process.cwd);
  check_env(where + ".env", process.env);
  if (process.user.umask && *process.user.umask > 0777)
    fail(where + ".user.umask", std::to_string(*process.user.umask) + " is above 511 (octal 777)");
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
