#include "libcontainer/linux/attributes.h"

#include <linux/keyctl.h>
#include <linux/sched.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/linux/text.h"

namespace husk {
namespace {

// sched_setattr(2); the kernel's own header cannot be included beside glibc's.
struct SchedAttr {
  uint32_t size = 48, sched_policy = 0;
  uint64_t sched_flags = 0;
  int32_t sched_nice = 0;
  uint32_t sched_priority = 0;
  uint64_t sched_runtime = 0, sched_deadline = 0, sched_period = 0;
};
static_assert(sizeof(SchedAttr) == 48);

struct Name {
  std::string_view text;
  uint64_t value;
};

template <size_t N>
uint64_t value_of(const Name (&rows)[N], const std::string& name, const char* what) {
  for (const Name& row : rows)
    if (row.text == name) return row.value;
  throw Error(ErrorKind::kInvalid, std::string("unknown ") + what + " \"" + printable(name, 64) + "\"");
}

constexpr Name kPolicies[] = {
    {"SCHED_OTHER", SCHED_OTHER}, {"SCHED_FIFO", SCHED_FIFO}, {"SCHED_RR", SCHED_RR},
    {"SCHED_BATCH", SCHED_BATCH}, {"SCHED_ISO", 4},           {"SCHED_IDLE", SCHED_IDLE},
    {"SCHED_DEADLINE", 6}};
constexpr Name kSchedulerFlags[] = {{"SCHED_FLAG_RESET_ON_FORK", 0x01}, {"SCHED_FLAG_RECLAIM", 0x02},
                                    {"SCHED_FLAG_DL_OVERRUN", 0x04},    {"SCHED_FLAG_KEEP_POLICY", 0x08},
                                    {"SCHED_FLAG_KEEP_PARAMS", 0x10},   {"SCHED_FLAG_UTIL_CLAMP_MIN", 0x20},
                                    {"SCHED_FLAG_UTIL_CLAMP_MAX", 0x40}};
constexpr Name kIoClasses[] = {{"IOPRIO_CLASS_RT", 1}, {"IOPRIO_CLASS_BE", 2}, {"IOPRIO_CLASS_IDLE", 3}};
constexpr Name kDomains[] = {{"LINUX", PER_LINUX}, {"LINUX32", PER_LINUX32}};
constexpr Name kPersonalityFlags[] = {
    {"ADDR_NO_RANDOMIZE", ADDR_NO_RANDOMIZE},  {"MMAP_PAGE_ZERO", MMAP_PAGE_ZERO},
    {"READ_IMPLIES_EXEC", READ_IMPLIES_EXEC},  {"SHORT_INODE", SHORT_INODE},
    {"WHOLE_SECONDS", WHOLE_SECONDS},          {"STICKY_TIMEOUTS", STICKY_TIMEOUTS},
    {"ADDR_COMPAT_LAYOUT", ADDR_COMPAT_LAYOUT}};

}  // namespace

void apply_scheduler(const spec::Scheduler& s) {
  SchedAttr attr;
  attr.sched_policy = static_cast<uint32_t>(value_of(kPolicies, s.policy, "scheduling policy"));
  for (const std::string& flag : s.flags)
    attr.sched_flags |= value_of(kSchedulerFlags, flag, "scheduler flag");
  attr.sched_nice = s.nice;
  attr.sched_priority = static_cast<uint32_t>(s.priority);
  attr.sched_runtime = s.runtime;
  attr.sched_deadline = s.deadline;
  attr.sched_period = s.period;
  check(syscall(SYS_sched_setattr, 0, &attr, 0), "setting the scheduler " + s.policy);
}

bool is_lost_by_fork(const spec::Scheduler& s) {
  return s.policy == "SCHED_DEADLINE" ||
         std::ranges::find(s.flags, "SCHED_FLAG_RESET_ON_FORK") != s.flags.end();
}

void apply_io_priority(const spec::IoPriority& p) {
  int value = static_cast<int>(value_of(kIoClasses, p.class_name, "I/O priority class") << 13) | p.priority;
  check(syscall(SYS_ioprio_set, 1 /* this process */, 0, value), "setting the I/O priority");
}

void apply_oom_score_adj(int value) {
  constexpr const char* kFile = "/proc/self/oom_score_adj";
  // The value we have already needs no privilege.
  if (atoi(read_file(kFile).c_str()) == value) return;
  write_file(kFile, std::to_string(value));
}

void apply_personality(const spec::Personality& p) {
  unsigned long value = value_of(kDomains, p.domain, "personality");
  for (const std::string& flag : p.flags) value |= value_of(kPersonalityFlags, flag, "personality flag");
  check(personality(value), "personality " + p.domain);
}

std::vector<int> parse_cpu_list(const std::string& cpus) {
  auto bad = [&]() -> int {
    throw Error(ErrorKind::kInvalid, "bad list of CPUs \"" + printable(cpus, 128) + "\"");
  };
  auto number = [&](std::string_view text) {
    if (text.empty() || text.size() > 5 || text.find_first_not_of("0123456789") != text.npos) return bad();
    return atoi(std::string(text).c_str());
  };
  std::vector<int> out;
  for (std::string_view part : split(cpus, ',')) {
    size_t dash = part.find('-');
    int first = number(part.substr(0, dash)),
        last = dash == part.npos ? first : number(part.substr(dash + 1));
    if (last < first || last >= CPU_SETSIZE) bad();
    for (int cpu = first; cpu <= last; ++cpu) out.push_back(cpu);
  }
  return out;
}

void apply_cpu_affinity(const std::string& cpus) {
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu : parse_cpu_list(cpus)) CPU_SET(static_cast<size_t>(cpu), &set);
  check(sched_setaffinity(0, sizeof set, &set), "setting the CPU affinity " + cpus);
}

void join_session_keyring(const std::string& name) {
  long ring = syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.c_str());
  if (ring < 0) {
    if (errno == ENOSYS || errno == EPERM) return;  // no keys in this kernel, or a filter around us
    throw_errno("joining a session keyring");
  }
  // The container's processes may search it (an exec'd one has to find it), as keyctl(1)'s KEY_USR_SEARCH.
  constexpr uint32_t kUserSearch = 0x00080000;
  char text[512];
  long n =
      syscall(SYS_keyctl, KEYCTL_DESCRIBE, ring, text, sizeof text - 1);  // type;uid;gid;perm;description
  if (n <= 0) return;
  text[std::min<long>(n, static_cast<long>(sizeof text) - 1)] = 0;
  std::vector<std::string_view> fields = split(text, ';');
  if (fields.size() < 4) return;
  auto permissions = static_cast<uint32_t>(strtoul(std::string(fields[3]).c_str(), nullptr, 16));
  syscall(SYS_keyctl, KEYCTL_SETPERM, ring, permissions | kUserSearch);
}

}  // namespace husk
