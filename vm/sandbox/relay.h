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

// Moves bytes both ways until the process and its pipes have ended. Bounded memory: a slow reader on the host
// slows the process down, as a pipe would. The end is told behind the output; but where nobody takes that,
// the guest is asked beside the stream, so that a process which was killed does not look alive for ever.
class Relay {
 public:
  struct Handlers {
    std::function<void(int signal)> signal;  // somebody signalled the shim (SIGKILL: it is gone)
    std::function<void()> out_of_memory;     // the guest's OOM killer took it, or one of its; before exited
    std::function<void(ExitStatus)> exited;  // before the shim is told; all output until the end is written
    std::function<void()> finished;          // the streams have ended too; last call
    std::function<ExitStatus()> wait;  // for the end, beside the stream; throws Error; may outlive the relay
  };
  Relay(std::unique_ptr<AttachStream> stream, ProcessFds fds, Handlers handlers);
  ~Relay();  // cancels what still runs; a process that has not ended is reported to its shim as killed

 private:
  struct Answer;
  void pump_output();
  void pump_input();
  void watch_shim();
  void ask_for_end();
  void write_output(UniqueFd& fd, std::string_view data, bool is_stdout);
  bool wait_writable(int fd);
  void tell_shim(ExitStatus status);
  void send_window_size();

  std::unique_ptr<AttachStream> stream_;
  ProcessFds fds_;
  Handlers handlers_;
  UniqueFd ended_;      // eventfd: the shim has been told; input ends
  UniqueFd cancelled_;  // eventfd: output ends too
  UniqueFd tty_;        // for window sizes, whatever happens to fds_.in
  std::atomic<bool> told_{false};
  std::shared_ptr<Answer> asked_;  // output_'s
  std::thread output_, input_, shim_watch_;
};

}  // namespace husk::vm
