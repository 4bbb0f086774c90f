// One process in the guest and what stands for it on the host: its standard streams and its husk-shim.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "agent/client/agent_client.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/process.h"

namespace husk::vm {

struct ProcessFds {
  UniqueFd in, out, err, shim;
  bool terminal = false;
};

// Moves bytes both ways until the process and its pipes have ended. Bounded memory: a slow reader on the host slows the
// process down, as a pipe would.
class Relay {
 public:
  struct Handlers {
    std::function<void(int signal)> signal;      // somebody signalled the shim (SIGKILL: it is gone)
    std::function<void(ExitStatus)> exited;      // before the shim is told; all output until the end is written
    std::function<void()> finished;              // the streams have ended too; last call
  };
  Relay(std::unique_ptr<AttachStream> stream, ProcessFds fds, Handlers handlers);
  ~Relay();  // cancels what still runs; a process that has not ended is reported to its shim as killed

  // False once the shim has been told.
  bool running() const { return !told_; }

 private:
  void pump_output();
  void pump_input();
  void watch_shim();
  void write_output(UniqueFd& fd, const std::string& data, bool is_stdout);
  void tell_shim(ExitStatus status);
  void send_window_size();

  std::unique_ptr<AttachStream> stream_;
  ProcessFds fds_;
  Handlers handlers_;
  UniqueFd stop_;  // eventfd: the input and shim threads end
  UniqueFd tty_;   // for window sizes, whatever happens to fds_.in
  std::atomic<bool> told_{false};
  std::thread output_, input_, shim_watch_;
};

}  // namespace husk::vm
