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
  enum class Kind { kAttached, kStdout, kStderr, kStdoutEof, kStderrEof, kExited, kStdinTaken, kStdinClosed };
  Kind kind;
  std::string data;
  Exit exit;
  size_t taken = 0;
  // Where the bytes of a busy stream are, in place of data: a pipe of ours, and how many.
  int pipe = -1;
  size_t in_pipe = 0;
};

class StdioSession {
 public:
  // Returns false when nobody listens any more.
  using Sink = std::function<bool(Output)>;
  // Called once after the process has ended.
  using Finish = std::function<Exit(ExitStatus)>;

  struct Limits {  // in bytes
    size_t chunk;  // of output in one piece
    size_t stdin_window;
    size_t output_window;  // of each output that may be on the way
    size_t rest;           // of each output beyond it, when the process has ended
  };
  // Takes the process's streams until run() returns. Throws kWrongState when they are taken.
  StdioSession(std::shared_ptr<Process> process, const Limits& limits);

  // Returns once the process has ended and both outputs are at EOF, or nobody listens. Throws what sink and
  // finish do.
  void run(const Sink& sink, const Finish& finish);

  void write_stdin(std::string data);  // throws kInvalid when more than the window is on the way
  void close_stdin();
  void resize(const WindowSize& size);
  void stdout_taken(size_t bytes);
  void stderr_taken(size_t bytes);
  void close_stdout();
  void close_stderr();
  void detach();

 private:
  struct Stream {
    Output::Kind data_kind, eof_kind;
    UniqueFd fd;                     // stdout's is the terminal's master where there is one
    size_t on_the_way = 0;           // sent, and not taken yet
    bool eof = false;                // was said
    bool closed = false;             // the host's reader is gone
    bool busy = false;               // the last read brought as much as it could
    UniqueFd bridge_in, bridge_out;  // a pipe, once it is busy
    std::shared_ptr<void> large;     // held while the process's own is a large one
  };

  void wake();
  void serve(const Sink& sink, const Finish& finish);
  void give_back();
  bool obey();
  bool wait_events();
  bool take_piece();
  bool feed_stdin();
  bool watch_stdin();
  size_t room(const Stream& stream) const;
  bool forward(Stream& stream);
  void set_patient(bool patient);
  bool bridge(Stream& stream);
  bool splice(Stream& stream);
  bool drain(Stream& stream);
  bool end_of(Stream& stream);
  bool say_exited(const Finish& finish);

  const std::shared_ptr<Process> process_;
  const Limits limits_;
  const Sink* sink_ = nullptr;
  UniqueFd wake_;

  // The loop's own.
  UniqueFd in_;
  Stream out_{Output::Kind::kStdout, Output::Kind::kStdoutEof, {}, 0, false, false, false, {}, {}, {}};
  Stream err_{Output::Kind::kStderr, Output::Kind::kStderrEof, {}, 0, false, false, false, {}, {}, {}};
  std::string piece_;  // the first of stdin, and how much of it was written
  size_t written_ = 0;
  bool exit_said_ = false, patient_ = false;
  bool readable_out_ = false, readable_err_ = false, unread_in_ = false, ended_ = false;

  std::mutex mutex_;  // of what follows
  std::deque<std::string> queue_;
  size_t queued_ = 0;  // bytes of it, and of piece_
  size_t stdout_taken_ = 0, stderr_taken_ = 0;
  bool stdin_eof_ = false, stdout_closed_ = false, stderr_closed_ = false, detached_ = false;
  std::optional<WindowSize> resized_;
};

}  // namespace husk::guest
