// A program that a VM needs beside it (QEMU, virtiofsd): dies with us, and its last words on stderr are kept.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "libcontainer/base/process.h"

namespace husk::vm {

class HelperProcess {
 public:
  HelperProcess() = default;
  // Starts argv with the fds given ({here, there}); stderr is ours. From the main thread: it gets SIGKILL
  // when that ends. Throws when it cannot be executed.
  HelperProcess(std::vector<std::string> argv, std::vector<std::pair<int, int>> fds);
  HelperProcess(HelperProcess&& other) noexcept
      : child_{std::exchange(other.child_.pid, -1), std::move(other.child_.pidfd)},
        stderr_(std::move(other.stderr_)),
        words_(std::move(other.words_)),
        end_(std::move(other.end_)) {}
  HelperProcess& operator=(HelperProcess&&) = delete;
  ~HelperProcess() { end(std::chrono::milliseconds(0)); }

  // -1 after it was reaped.
  pid_t pid() const { return child_.pid; }
  // Becomes readable when it ends; stays open until we are destroyed.
  int pidfd() const { return child_.pidfd.get(); }
  bool running();
  // Waits that long for its own end, then SIGKILL; reaps. Idempotent.
  void end(std::chrono::milliseconds patience) noexcept;
  // "exit code 1: what it said", one line; empty while it runs.
  std::string last_words();

 private:
  void collect() noexcept;

  Child child_;
  UniqueFd stderr_;
  std::string words_, end_;  // the tail of stderr; how it ended
};

}  // namespace husk::vm
