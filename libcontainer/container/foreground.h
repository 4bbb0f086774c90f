// A process in the foreground: husk stays, hands signals on, copies the terminal, and ends the way the
// process does.
#pragma once

#include <sys/types.h>
#include <termios.h>

#include <string>

#include "libcontainer/base/fd.h"

namespace husk {

// Puts a terminal into raw mode, and back at its end.
class RawMode {
 public:
  explicit RawMode(int tty);  // -1: does nothing
  ~RawMode();
  RawMode(const RawMode&) = delete;
  RawMode& operator=(const RawMode&) = delete;

 private:
  int tty_;
  termios before_{};
};

// Copies between husk's own stdin and stdout and the master of a process's pty. Blocks on neither: who pastes
// more than the process reads must not stop its output, and who reads slowly must not keep signals from it.
class TerminalRelay {
 public:
  // master: -1 for none (all calls do nothing). Not owned.
  TerminalRelay(int master, int in, int out, int tty);

  // What to poll for; -1 and 0 where there is nothing to wait for.
  int in_fd() const { return typed_.empty() && master_ >= 0 ? in_ : -1; }
  int master_fd() const { return master_events() ? master_ : -1; }
  short master_events() const;
  int out_fd() const { return shown_.empty() ? -1 : out_.get(); }
  void on_in();
  void on_master(short revents);
  void on_out();
  // The size of husk's terminal becomes the pty's.
  void resize();
  // What is still in the pty after the process's end, however long that takes the reader; or until
  // `interrupted`, a signalfd, says so.
  void drain(int interrupted = -1);

 private:
  bool read_master();  // false: nothing there, or the end

  int master_, in_, tty_;
  UniqueFd out_;
  std::string typed_;  // read from in, not yet taken by the master
  std::string shown_;  // read from the master, not yet taken by out
  RawMode raw_;
};

class Foreground {
 public:
  // Takes all signals (blocked for this process from now on): make it before the process runs, so that none
  // is lost.
  Foreground();
  // Something else to look after meanwhile: on_readable() for as long as fd() is not -1.
  class Watched {
   public:
    virtual ~Watched() = default;
    virtual int fd() const = 0;
    virtual void on_readable() = 0;
  };
  // Waits for our child. Returns its exit code, or 128 + the signal that killed it.
  int wait(pid_t pid, int master = -1, Watched* watched = nullptr);

 private:
  UniqueFd signals_;
};

}  // namespace husk
