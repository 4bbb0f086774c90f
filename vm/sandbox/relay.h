// One process in the guest and what stands for it on the host: its standard streams and its husk-shim.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/client/agent_client.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/process.h"
#include "vm/sandbox/output_writer.h"

namespace husk::vm {

struct ProcessFds {
  UniqueFd in, out, err, shim;
  bool terminal = false;
  bool one_output = false;  // out and err are the same, and so they are in the guest

  // As husk sends them: in, out, err, shim. A terminal only carries bytes from here on: it is made raw.
  static ProcessFds take(std::vector<UniqueFd>& fds, bool terminal);
  // Of the terminal, where there is one that has a size.
  std::optional<WindowSize> window_size() const;
};

// Moves bytes both ways until the process and its pipes have ended. Each stream goes at its own reader's
// pace; memory is bounded by the streams' windows, so a slow reader slows the process down as a pipe would.
//
// The end is told behind the output. A reader who does not take that holds the end up, for on a host the
// process would still stand in its write(2), and whoever waits for its end may throw away what is not read.
// As on a host a signal helps: the end is then told as soon as the reader has taken nothing for
// deadline::kLateOutput.
class Relay {
 public:
  struct Handlers {                          // none of them throws
    std::function<void(int signal)> signal;  // somebody signalled the shim (SIGKILL: it is gone)
    std::function<void()> out_of_memory;     // the guest's OOM killer took it, or one of its; before exited
    std::function<void(ExitStatus)> exited;  // before the shim is told
    std::function<void()> complete;          // nothing more will come from the guest
    std::function<void()> finished;          // it has ended the stream, too; last call
  };
  // Throws, with all that was begun ended, when there is no thread for it (pids.max).
  Relay(std::unique_ptr<AttachStream> stream, ProcessFds fds, Handlers handlers);
  ~Relay();  // cancels what still runs; a process that has not ended is reported to its shim as killed

  // A signal is on its way to the process. True: it has ended already, and only its reader was waited for.
  bool on_signal(int signal);
  // Whatever comes, nobody waits for a reader any more.
  void hurry();
  bool wait_finished(std::chrono::milliseconds timeout);
  // Of the terminal, where there is one that has a size.
  std::optional<WindowSize> window_size() const;
  // The guest is told the size anew, soon.
  void resize();

 private:
  void begin();
  void end_threads() noexcept;
  void pump_output();
  void read_output(ExitStatus& last);
  void finish(ExitStatus last);
  void pump_input();
  bool read_input();
  void watch_shim();
  bool hear_shim();
  void send_window_size() noexcept;
  void know_end(ExitStatus status);
  void behind_output(std::function<void()> call);
  void tell_shim(ExitStatus status);

  std::unique_ptr<AttachStream> stream_;
  ProcessFds fds_;
  Handlers handlers_;
  UniqueFd told_event_;  // eventfds: the shim has been told
  UniqueFd input_over_;
  UniqueFd finished_;
  UniqueFd resized_;
  UniqueFd tty_;  // for window sizes, whatever happens to fds_.in
  std::atomic<bool> told_{false};

  std::mutex mutex_;  // of what follows
  bool end_known_ = false;
  std::chrono::steady_clock::time_point last_signal_ = std::chrono::steady_clock::time_point::min();

  std::unique_ptr<OutputWriter> out_, err_;  // err_: not with one output
  std::thread reader_, input_, shim_watch_;
};

}  // namespace husk::vm
