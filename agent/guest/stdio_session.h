// One attachment: bytes between a process's standard streams and whoever is attached. run() is one poll loop
// in one thread; the other methods are what the attached party says, called from one other thread, and never
// wait for the process.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "agent/guest/process.h"

namespace husk::guest {

struct Output {
  enum class Kind { kAttached, kStdout, kStderr, kStdoutEof, kStderrEof, kExited, kStdinTaken };
  Kind kind;
  std::string data;
  Exit exit;
  size_t taken = 0;
};

class StdioSession {
 public:
  // Returns false when nobody listens any more.
  using Sink = std::function<bool(Output)>;
  // Called once after the process has ended.
  using Finish = std::function<Exit(ExitStatus)>;

  // Takes the process's streams until run() returns. Throws kWrongState when they are taken.
  StdioSession(std::shared_ptr<Process> process, size_t max_chunk, size_t stdin_window);

  // Returns once the process has ended and both outputs are at EOF, or nobody listens.
  void run(const Sink& sink, const Finish& finish);

  void write_stdin(std::string data);  // throws kInvalid when more than the window is on the way
  void close_stdin();
  void resize(unsigned rows, unsigned columns);
  void close_stdout();
  void close_stderr();
  void detach();

 private:
  struct Stream {
    Output::Kind data_kind, eof_kind;
    UniqueFd fd;          // stdout's is the terminal's master where there is one
    bool eof = false;     // was said
    bool closed = false;  // the host's reader is gone
  };

  void wake();
  bool obey();
  bool wait_events();
  bool feed_stdin();
  bool forward(Stream& stream, size_t at_most);
  bool drain(Stream& stream);
  bool end_of(Stream& stream);
  bool say_exited(const Finish& finish);

  const std::shared_ptr<Process> process_;
  const size_t max_chunk_, stdin_window_;
  const Sink* sink_ = nullptr;
  UniqueFd wake_;

  // The loop's own.
  UniqueFd in_;
  Stream out_{Output::Kind::kStdout, Output::Kind::kStdoutEof, {}, false, false};
  Stream err_{Output::Kind::kStderr, Output::Kind::kStderrEof, {}, false, false};
  bool exit_said_ = false;
  bool readable_out_ = false, readable_err_ = false, writable_in_ = false, ended_ = false;

  std::mutex mutex_;  // of what follows
  std::deque<std::string> queue_;
  size_t queued_ = 0, head_ = 0;  // head_: bytes of queue_.front() that were written
  bool stdin_eof_ = false, stdout_closed_ = false, stderr_closed_ = false, detached_ = false;
  unsigned rows_ = 0, columns_ = 0;
  bool resized_ = false;
};

}  // namespace husk::guest
