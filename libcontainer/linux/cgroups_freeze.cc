// Freezing, killing, and counting what the kernel killed.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/rootless.h"
#include "libcontainer/linux/cgroups_files.h"

namespace husk {

using cgroup::Clock;
using std::chrono::milliseconds;

namespace {

std::string state_v1(const std::string& folder) {
  std::optional<std::string> text = cgroup::read_control(folder, "freezer.state");
  if (!text) throw Error(ErrorKind::kNotFound, "no cgroup " + folder, ENOENT);
  return std::string(cgroup::trim(*text));
}

// v1 has no event for FREEZING → FROZEN, and works on it only when the state is written or read.
bool freeze_v1(const std::string& folder, const std::string& wanted, Clock::time_point deadline) {
  for (milliseconds pause(1);; pause = std::min(pause * 2, milliseconds(50))) {
    if (!cgroup::write_control(folder, "freezer.state", wanted)) state_v1(folder);
    if (state_v1(folder) == wanted) return true;
    if (Clock::now() >= deadline) return false;
    std::this_thread::sleep_for(pause);
  }
}

bool freeze_v2(const std::string& folder, bool frozen, Clock::time_point deadline) {
  if (!cgroup::write_control(folder, "cgroup.freeze", frozen ? "1" : "0"))
    throw Error(ErrorKind::kUnsupported, "the kernel has no cgroup.freeze");
  return cgroup::wait_event(folder, "frozen", frozen, deadline);
}

}  // namespace

void Cgroup::freeze(bool frozen) {
  refuse_root("freeze");
  const Hierarchy* h = freezer();
  if (!h)
    throw Error(ErrorKind::kUnsupported, is_rootless()
                                             ? "no cgroup with a freezer has been delegated to this user"
                                             : "no cgroup freezer is mounted");
  std::vector<pid_t> members;
  cgroup::collect_pids(h->folder, members);
  if (frozen && std::find(members.begin(), members.end(), getpid()) != members.end())
    throw Error(ErrorKind::kWrongState, "cannot freeze " + h->folder + " from inside");

  Clock::time_point deadline = Clock::now() + deadline::kCgroupFreeze;
  bool done = h->v2 ? freeze_v2(h->folder, frozen, deadline)
                    : freeze_v1(h->folder, frozen ? "FROZEN" : "THAWED", deadline);
  if (done) return;
  // Half frozen would be worse than running.
  if (frozen)
    cgroup::try_write_control(h->folder, h->v2 ? "cgroup.freeze" : "freezer.state", h->v2 ? "0" : "THAWED");
  throw Error(ErrorKind::kTimeout, std::string(frozen ? "freezing " : "thawing ") + h->folder +
                                       ": the kernel did not manage in time");
}

bool Cgroup::frozen() const {
  const Hierarchy* h = freezer();
  if (!h || path_ == "/") return false;
  if (!h->v2) {
    std::string text = cgroup::read_control(h->folder, "freezer.state").value_or("THAWED");
    return cgroup::trim(text) != "THAWED";
  }
  return cgroup::keyed(cgroup::read_control(h->folder, "cgroup.events").value_or(""), "frozen") == 1;
}

void Cgroup::kill_all(int signal) {
  refuse_root("kill");
  const Hierarchy* v2 = unified();
  bool killed = signal == SIGKILL && v2 && cgroup::try_write_control(v2->folder, "cgroup.kill", "1") == 0;
  if (killed && hierarchies_.size() == 1) return;

  bool was_frozen = frozen(), froze = false;
  if (!was_frozen && !killed) {
    try {
      freeze(true);
      froze = true;
    } catch (const Error&) {
      // Without a freezer a process may fork away once; the next look finds its child.
    }
  }
  std::vector<pid_t> done;
  for (int rounds = 0; rounds < 10; ++rounds) {
    bool fresh = false;
    for (pid_t pid : pids()) {
      if (std::find(done.begin(), done.end(), pid) != done.end()) continue;
      done.push_back(pid);
      fresh = ::kill(pid, signal) == 0 || fresh;
    }
    if (!fresh || froze || was_frozen) break;
  }
  // On v1 the frozen cannot even die. Whoever paused the group otherwise finds it as he left it.
  if (froze || (was_frozen && signal == SIGKILL)) freeze(false);
}

std::string Cgroup::memory_folder() const {
  const Hierarchy* h = find("memory");
  return h ? h->folder : "";
}

unsigned long long Cgroup::oom_kills() const {
  const Hierarchy* h = find("memory");
  if (!h) return 0;
  return cgroup::keyed(
      cgroup::read_control(h->folder, h->v2 ? "memory.events" : "memory.oom_control").value_or(""),
      "oom_kill");
}

}  // namespace husk
