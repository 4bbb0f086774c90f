// One process of a container: its end, and its standard streams.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "agent/guest/reaper.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/init/init_process.h"

namespace husk::guest {

struct Exit {
  ExitStatus status;
  bool oom_killed = false;
};

// What a process's 0, 1 and 2 are.
enum class Streams {
  kTerminal,
  kPipes,
  kOneOutput,  // pipes, but stderr is stdout's: what the process writes to both keeps its order
};

struct WindowSize {
  unsigned rows = 0, columns = 0;
};
void set_window_size(int terminal, const WindowSize& size);

// Our ends. Nothing is read before somebody attaches: the pipes are the buffer.
struct Stdio {
  UniqueFd in, out, err;  // pipes; no err with kOneOutput
  UniqueFd console;       // or a terminal's master, and then no pipes
};

class Process : public std::enable_shared_from_this<Process> {
 public:
  using Make = std::function<InitProcess(const StdioFds&)>;

  // Makes the pipes (unless it has a terminal), lets `make` spawn it up to the gate, and has the reaper watch
  // it.
  static std::shared_ptr<Process> create(Reaper& reaper, std::string id, Streams streams, const Make& make);

  const std::string& id() const { return id_; }
  pid_t pid() const { return pid_; }
  // Opens the gate; the terminal, if there is one, has that size by then. Throws kWrongState the second time,
  // and what exec said.
  void start(const std::optional<WindowSize>& size);
  bool started() const;
  bool ended() const;
  // Throws kWrongState when it has ended.
  void signal(int signal);
  void kill() noexcept;

  // Waits at most this long.
  std::optional<ExitStatus> wait(std::chrono::milliseconds timeout) const;
  // Readable once it has ended.
  int exit_event() const { return exit_event_.get(); }

  // One attachment at a time: takes the streams, throws kWrongState when somebody has them.
  Stdio take_stdio();
  void give_stdio_back(Stdio stdio);
  bool terminal() const { return streams_ == Streams::kTerminal; }
  // Nobody is at the terminal any more. The caller closes the master.
  void hang_up();

 private:
  Process(std::string id, Streams streams);
  void set_exit(ExitStatus status);

  const std::string id_;
  const Streams streams_;
  pid_t pid_ = -1;
  UniqueFd pidfd_, exit_event_;
  Stdio stdio_;

  std::mutex start_mutex_;  // of init_: the gate's opening takes as long as the hooks do
  std::optional<InitProcess> init_;

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool started_ = false, attached_ = false;
  UniqueFd console_;  // the terminal's master once more, for its size; until the start
  std::optional<ExitStatus> exit_;
};

}  // namespace husk::guest
