#include "libcontainer/container/foreground.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "libcontainer/base/error.h"
#include "libcontainer/base/process.h"
#include "libcontainer/base/stream_fd.h"
#include "libcontainer/container/stdio.h"

namespace husk {
namespace {

constexpr size_t kChunk = 16384;

std::vector<int> forwarded_signals() {
  std::vector<int> out;
  for (int s = 1; s < NSIG; ++s) {
    switch (s) {
      case SIGKILL:
      case SIGSTOP:  // cannot be caught
      case SIGCHLD:  // ours
      case SIGPIPE:  // ours: stdout's reader is gone
      case SIGSEGV:
      case SIGBUS:
      case SIGFPE:
      case SIGILL:
      case SIGTRAP:  // our own faults
        break;
      default:
        out.push_back(s);
    }
  }
  return out;
}

}  // namespace

RawMode::RawMode(int tty) : tty_(tty) {
  if (tty_ < 0 || tcgetattr(tty_, &before_) != 0) {
    tty_ = -1;
    return;
  }
  termios raw = before_;
  cfmakeraw(&raw);
  tcsetattr(tty_, TCSANOW, &raw);
}

RawMode::~RawMode() {
  if (tty_ >= 0) tcsetattr(tty_, TCSANOW, &before_);
}

TerminalRelay::TerminalRelay(int master, int in, int out, int tty)
    : master_(master), in_(in), tty_(tty), raw_(master >= 0 ? tty : -1) {
  if (master_ < 0) return;
  set_nonblocking(master_, true);
  out_ = dup_fd(out);
  unblock(out_, O_WRONLY);
}

short TerminalRelay::master_events() const {
  return static_cast<short>((shown_.empty() ? POLLIN : 0) | (typed_.empty() ? 0 : POLLOUT));
}

void TerminalRelay::on_in() {
  char buf[kChunk];
  const ssize_t n = read(in_, buf, sizeof buf);
  if (n > 0) {
    typed_.assign(buf, static_cast<size_t>(n));
    on_master(POLLOUT);
  } else if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
    in_ = -1;
  }
}

bool TerminalRelay::read_master() {
  char buf[kChunk];
  const ssize_t n = read(master_, buf, sizeof buf);
  if (n < 0 && errno == EINTR) return true;
  if (n <= 0) {
    if (n == 0 || errno != EAGAIN) master_ = -1;  // EIO: nobody has the slave any more
    return false;
  }
  shown_.assign(buf, static_cast<size_t>(n));
  on_out();
  return true;
}

void TerminalRelay::on_master(short revents) {
  if (revents & POLLOUT && !typed_.empty()) {
    const ssize_t n = write(master_, typed_.data(), typed_.size());
    if (n > 0) typed_.erase(0, static_cast<size_t>(n));
    if (n < 0 && errno != EINTR && errno != EAGAIN) typed_.clear();
  }
  if (shown_.empty() && revents & (POLLIN | POLLHUP | POLLERR)) read_master();
}

void TerminalRelay::on_out() {
  const ssize_t n = write_some(out_.get(), shown_);
  if (n > 0) shown_.erase(0, static_cast<size_t>(n));
  // Nobody reads our output: the process goes on all the same.
  if (n < 0 && errno != EINTR && errno != EAGAIN) shown_.clear();
}

void TerminalRelay::resize() {
  winsize size{};
  if (master_ < 0 || tty_ < 0 || ioctl(tty_, TIOCGWINSZ, &size) != 0) return;
  if (size.ws_row && size.ws_col) ioctl(master_, TIOCSWINSZ, &size);
}

void TerminalRelay::drain(int interrupted) {
  // A pty holds some KiB; what a process left behind goes on writing is not waited for.
  for (int i = 0; i < 64; ++i) {
    while (!shown_.empty()) {
      pollfd polled[] = {{out_.get(), POLLOUT, 0}, {interrupted, POLLIN, 0}};
      if (poll(polled, std::size(polled), -1) < 0 && errno != EINTR) return;
      signalfd_siginfo info{};
      if (polled[1].revents && read(interrupted, &info, sizeof info) == sizeof info &&
          info.ssi_signo != SIGWINCH && info.ssi_signo != SIGCONT)
        return;
      if (polled[0].revents) on_out();
    }
    if (master_ < 0 || !read_master()) return;
  }
}

Foreground::Foreground() : signals_(make_signalfd(forwarded_signals())) {
  signal(SIGPIPE, SIG_IGN);
}

int Foreground::wait(pid_t pid, int master, Watched* watched) {
  Child child{pid, open_pidfd(pid)};
  TerminalRelay relay(master, STDIN_FILENO, STDOUT_FILENO, own_terminal());
  relay.resize();  // it may have changed before we took the signals
  for (;;) {
    pollfd polled[] = {{child.pidfd.get(), POLLIN, 0},
                       {signals_.get(), POLLIN, 0},
                       {relay.master_fd(), relay.master_events(), 0},
                       {relay.in_fd(), POLLIN, 0},
                       {relay.out_fd(), POLLOUT, 0},
                       {watched ? watched->fd() : -1, POLLIN, 0}};
    if (poll(polled, std::size(polled), -1) < 0) {
      if (errno == EINTR) continue;
      throw_errno("poll");
    }
    if (polled[1].revents) {
      signalfd_siginfo info{};
      while (read(signals_.get(), &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGWINCH && master >= 0)
          relay.resize();
        else
          kill(pid, static_cast<int>(info.ssi_signo));
      }
    }
    if (polled[5].revents) watched->on_readable();
    if (polled[3].revents) relay.on_in();
    if (polled[2].revents) relay.on_master(polled[2].revents);
    if (polled[4].revents) relay.on_out();
    if (polled[0].revents) break;
  }
  relay.drain(signals_.get());
  return wait_child(child, std::chrono::milliseconds(-1)).shell_code();
}

}  // namespace husk
