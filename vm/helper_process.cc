#include "vm/helper_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"

namespace husk::vm {
namespace {

constexpr size_t kMaxWords = 2048;

}  // namespace

HelperProcess::HelperProcess(std::vector<std::string> argv, std::vector<std::pair<int, int>> fds) {
  auto [ours, theirs] = make_pipe();
  // Nobody reads while all is well: a full pipe shall lose words, not stop the program.
  set_nonblocking(ours.get(), true);
  set_nonblocking(theirs.get(), true);
  fds.emplace_back(theirs.get(), 2);
  SpawnOptions options;
  options.argv = std::move(argv);
  options.env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"};
  options.fds = std::move(fds);
  options.die_with_parent = true;
  options.new_session = true;  // a ^C in the engine's terminal is not for it
  child_ = spawn(options);
  stderr_ = std::move(ours);
}

void HelperProcess::collect() noexcept {
  char buffer[4096];
  while (stderr_) {
    ssize_t n = read(stderr_.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    words_.append(buffer, static_cast<size_t>(n));
    if (words_.size() > kMaxWords) words_.erase(0, words_.size() - kMaxWords);
  }
}

bool HelperProcess::running() {
  collect();
  if (child_.pid <= 0) return false;
  siginfo_t info{};
  if (waitid(P_PID, static_cast<id_t>(child_.pid), &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0)
    return true;
  child_.pid = -1;
  if (info.si_pid == 0)
    end_ = "ended";  // somebody else reaped it
  else
    end_ = (info.si_code == CLD_EXITED ? "exit code " : "killed by signal ") + std::to_string(info.si_status);
  collect();
  return false;
}

void HelperProcess::end(std::chrono::milliseconds patience) noexcept {
  try {
    if (!running()) return;
    if (!wait_pidfd(pidfd(), patience)) {
      kill(child_.pid, SIGKILL);
      wait_pidfd(pidfd(), deadline::kProcessEnd);
    }
    running();
  } catch (...) {
    // Its pidfd cannot be waited for: the kernel reaps it after us.
  }
}

std::string HelperProcess::last_words() {
  if (child_.pid > 0 && running()) return "";
  std::string words = words_;
  while (!words.empty() && words.back() == '\n') words.pop_back();
  for (char& c : words)
    if (c == '\n') c = ' ';
  return words.empty() ? end_ : end_ + ": " + printable(words, kMaxWords);
}

}  // namespace husk::vm
