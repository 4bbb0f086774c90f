#include "agent/guest/reaper.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

#include "libcontainer/base/error.h"

namespace husk::guest {

Reaper::Reaper()
    : signals_(make_signalfd({SIGCHLD})), wake_(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  std::thread([this] { run(); }).detach();
}

Reaper::Hold::Hold(Reaper& reaper) : reaper_(reaper) {
  std::lock_guard lock(reaper_.mutex_);
  ++reaper_.holds_;
}

Reaper::Hold::~Hold() {
  std::lock_guard lock(reaper_.mutex_);
  --reaper_.holds_;
  // Also when other holds remain: what this one has registered may have ended before.
  reaper_.wake();
}

void Reaper::watch(pid_t pid, std::function<void(ExitStatus)> on_exit) {
  std::lock_guard lock(mutex_);
  watched_[pid] = std::move(on_exit);
  wake();  // it may have ended before, and the caller's Hold may not be the last
}

void Reaper::wake() {
  uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

void Reaper::run() {
  for (;;) {
    pollfd fds[] = {{signals_.get(), POLLIN, 0}, {wake_.get(), POLLIN, 0}};
    poll(fds, 2, -1);
    // Emptied before looking: a signal that comes from here on wakes us again.
    signalfd_siginfo info;
    while (read(signals_.get(), &info, sizeof info) > 0) {
    }
    uint64_t count;
    (void)!read(wake_.get(), &count, sizeof count);
    std::vector<Ended> ended;
    {
      std::lock_guard lock(mutex_);
      if (holds_ == 0)
        reap_orphans(ended);
      else
        reap_watched(ended);
    }
    for (const auto& [on_exit, status] : ended) on_exit(status);
  }
}

// True when it has ended.
bool Reaper::reap(pid_t pid, std::function<void(ExitStatus)>& on_exit, std::vector<Ended>& ended) {
  siginfo_t info{};
  if (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) return false;
  if (on_exit)
    ended.emplace_back(std::move(on_exit), info.si_code == CLD_EXITED ? ExitStatus{info.si_status, 0}
                                                                      : ExitStatus{0, info.si_status});
  return true;
}

void Reaper::reap_watched(std::vector<Ended>& ended) {
  for (auto it = watched_.begin(); it != watched_.end();)
    it = reap(it->first, it->second, ended) ? watched_.erase(it) : std::next(it);
}

// Everything that has ended, watched or not.
void Reaper::reap_orphans(std::vector<Ended>& ended) {
  for (;;) {
    siginfo_t info{};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    auto it = watched_.find(info.si_pid);
    std::function<void(ExitStatus)> on_exit;
    if (it != watched_.end()) {
      on_exit = std::move(it->second);
      watched_.erase(it);
    }
    if (!reap(info.si_pid, on_exit, ended)) return;
  }
}

}  // namespace husk::guest
