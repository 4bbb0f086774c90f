// What the scheduler and the OOM killer think of a process, its personality, its session keyring.
#pragma once

#include <string>
#include <vector>

#include "spec/config.h"

namespace husk {

void apply_scheduler(const spec::Scheduler& scheduler);  // sched_setattr(2)
// SCHED_DEADLINE, and SCHED_FLAG_RESET_ON_FORK: only the process itself can take them.
bool is_lost_by_fork(const spec::Scheduler& scheduler);
void apply_io_priority(const spec::IoPriority& priority);  // ioprio_set(2)
void apply_oom_score_adj(int value);                       // /proc/self, so before the root changes
void apply_personality(const spec::Personality& personality);
void apply_cpu_affinity(const std::string& cpus);  // "0-3,7"; empty: nothing
// "0-3,7" → 0 1 2 3 7; throws kInvalid.
std::vector<int> parse_cpu_list(const std::string& cpus);
// A session keyring of the container's own, so that it does not see ours. A kernel without keys is fine.
void join_session_keyring(const std::string& name);

}  // namespace husk
