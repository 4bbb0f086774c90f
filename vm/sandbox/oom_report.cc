#include "vm/sandbox/oom_report.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/message.h"
#include "libcontainer/base/process.h"
#include "libcontainer/linux/cgroups.h"
#include "vm/sandbox/shim_protocol.h"

namespace husk::vm {
namespace {

// What QEMU may still take meanwhile, and what our process takes to get over it.
constexpr uint64_t kHeadroom = 64ULL << 20;
constexpr unsigned kTakenMib = 96;
constexpr std::chrono::milliseconds kPause{10};

using Clock = std::chrono::steady_clock;

// Lines are ID:CONTROLLERS:PATH; v2's has no controllers.
std::string memory_cgroup_of(pid_t pid) {
  std::istringstream lines(read_file("/proc/" + std::to_string(pid) + "/cgroup"));
  std::string line, unified;
  while (std::getline(lines, line)) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    if (("," + controllers + ",").find(",memory,") != std::string::npos) return path;
    if (controllers.empty()) unified = path;
  }
  return unified;
}

// By one report at a time: another one's would be taken for what was before.
class LowLimit {
 public:
  explicit LowLimit(const std::string& folder) {
    const bool v2 = path_exists(path_join(folder, "memory.max"));
    file_ = path_join(folder, v2 ? "memory.max" : "memory.limit_in_bytes");
    before_ = read_file(file_);
    const std::string use = read_file(path_join(folder, v2 ? "memory.current" : "memory.usage_in_bytes"));
    uint64_t bytes = 0;
    std::from_chars(use.data(), use.data() + use.size(), bytes);
    write_file(file_, std::to_string(bytes + kHeadroom), false);
  }
  ~LowLimit() {
    try {
      set_back();
    } catch (const Error& e) {
      spdlog::warn("the VM's memory limit stays low: {}", e.what());
    }
  }
  LowLimit(const LowLimit&) = delete;
  LowLimit& operator=(const LowLimit&) = delete;

 private:
  // v1: EBUSY while more is in use than the limit allows.
  void set_back() const {
    const auto until = Clock::now() + deadline::kMemoryLimit;
    for (;; std::this_thread::sleep_for(kPause)) try {
        return write_file(file_, before_, false);
      } catch (const Error& e) {
        if (e.errnum() != EBUSY || Clock::now() >= until) throw;
      }
  }

  std::string file_, before_;
};

void report(Cgroup& cgroup, const std::string& folder) {
  auto [ours, theirs] = socket_pair(SOCK_SEQPACKET);
  SpawnOptions options;
  options.argv = {path_join(program_dir(), "husk-shim"), "--take", std::to_string(kTakenMib)};
  options.fds = {{theirs.get(), kShimSocketFd}};
  options.die_with_parent = true;
  Child victim = spawn(options);
  try {
    cgroup.add(victim.pid);
    write_file("/proc/" + std::to_string(victim.pid) + "/oom_score_adj", "1000", false);
    LowLimit limit(folder);
    check(send(ours.get(), "", 1, MSG_NOSIGNAL), "starting husk-shim --take");
    wait_pidfd(victim.pidfd.get(), deadline::kProcessEnd);
  } catch (...) {
    kill_and_reap(victim);
    throw;
  }
  kill_and_reap(victim);
}

}  // namespace

void report_oom(pid_t shim) {
  static std::mutex mutex;
  static std::map<std::string, Clock::time_point> told;  // by cgroup: when its last report began
  const Clock::time_point known = Clock::now();
  Cgroup cgroup(memory_cgroup_of(shim));
  const std::string folder = cgroup.memory_folder();
  if (folder.empty()) return;
  std::lock_guard lock(mutex);
  const Clock::time_point begin = Clock::now();
  if (const auto last = told.find(folder); last != told.end() && last->second >= known) return;
  report(cgroup, folder);
  told[folder] = begin;
}

}  // namespace husk::vm
