#include "vm/sandbox/relay.h"

#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "libcontainer/base/error.h"
#include "vm/sandbox/shim_protocol.h"

namespace husk::vm {
namespace {

bool is_dev_null(int fd) {
  struct stat st {};
  return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

// The guest's pty does the line discipline; this one only carries bytes.
void make_raw(int tty) {
  termios t{};
  if (tcgetattr(tty, &t) != 0) return;
  cfmakeraw(&t);
  tcsetattr(tty, TCSANOW, &t);
}

// Waits until fd is ready or stop is; false: stop.
bool wait_for(int fd, int stop) {
  pollfd fds[2] = {{fd, POLLIN, 0}, {stop, POLLIN, 0}};
  while (poll(fds, 2, -1) < 0)
    if (errno != EINTR) return false;
  return fds[1].revents == 0;
}

}  // namespace

Relay::Relay(std::unique_ptr<AttachStream> stream, ProcessFds fds, Handlers handlers)
    : stream_(std::move(stream)),
      fds_(std::move(fds)),
      handlers_(std::move(handlers)),
      stop_(check(eventfd(0, EFD_CLOEXEC), "eventfd")) {
  if (fds_.terminal) {
    make_raw(fds_.in.get());
    tty_ = dup_fd(fds_.in.get());
    send_window_size();
  }
  shim_watch_ = std::thread([this] { watch_shim(); });
  if (is_dev_null(fds_.in.get())) {
    stream_->close_stdin();
    fds_.in.reset();
  } else {
    input_ = std::thread([this] { pump_input(); });
  }
  output_ = std::thread([this] { pump_output(); });
}

Relay::~Relay() {
  stream_->cancel();
  uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof one);
  if (output_.joinable()) output_.join();
  if (input_.joinable()) input_.join();
  if (shim_watch_.joinable()) shim_watch_.join();
}

void Relay::write_output(UniqueFd& fd, const std::string& data, bool is_stdout) {
  if (!fd) return;
  try {
    write_all(fd.get(), data, is_stdout ? "stdout" : "stderr");
  } catch (const Error& e) {
    // The reader is gone: the process in the guest has to see that as SIGPIPE.
    spdlog::debug("{}", e.what());
    fd.reset();
    if (is_stdout)
      stream_->close_stdout();
    else
      stream_->close_stderr();
  }
}

void Relay::pump_output() {
  ExitStatus last{0, SIGKILL};  // if the guest goes away, so has the process
  try {
    AttachStream::Output out;
    while (stream_->read(out)) {
      switch (out.event) {
        case AttachStream::Event::kStdout:
          write_output(fds_.out, out.data, true);
          break;
        case AttachStream::Event::kStderr:
          write_output(fds_.err, out.data, false);
          break;
        case AttachStream::Event::kStdoutEof:
          fds_.out.reset();
          break;
        case AttachStream::Event::kStderrEof:
          fds_.err.reset();
          break;
        case AttachStream::Event::kExited:
          last = out.status;
          tell_shim(last);
          break;
      }
    }
  } catch (const Error& e) {
    spdlog::debug("relay: {}", e.what());
  }
  fds_.out.reset();
  fds_.err.reset();
  tell_shim(last);
  handlers_.finished();
}

void Relay::pump_input() {
  std::string buffer(64 << 10, '\0');
  while (wait_for(fds_.in.get(), stop_.get())) {
    ssize_t n = read(fds_.in.get(), buffer.data(), buffer.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) {
      // A terminal that is hung up tells its processes; a pipe just ends.
      if (fds_.terminal)
        handlers_.signal(SIGHUP);
      else
        stream_->close_stdin();
      break;
    }
    if (!stream_->write_stdin(std::string_view(buffer.data(), static_cast<size_t>(n)))) break;
  }
  fds_.in.reset();
}

void Relay::watch_shim() {
  while (wait_for(fds_.shim.get(), stop_.get())) {
    ShimMessage message{};
    ssize_t n = recv(fds_.shim.get(), &message, sizeof message, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n != sizeof message) {
      if (!told_) handlers_.signal(SIGKILL);
      return;
    }
    if (message.type == ShimMessageType::kResized)
      send_window_size();
    else if (message.type == ShimMessageType::kSignal)
      handlers_.signal(message.value);
  }
}

void Relay::tell_shim(ExitStatus status) {
  if (told_.exchange(true)) return;
  handlers_.exited(status);
  ShimMessage message{ShimMessageType::kExited, status.code, status.signal};
  (void)!send(fds_.shim.get(), &message, sizeof message, MSG_NOSIGNAL);  // a shim that was killed needs no news
  uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof one);
}

void Relay::send_window_size() {
  winsize size{};
  if (tty_ && ioctl(tty_.get(), TIOCGWINSZ, &size) == 0 && (size.ws_row || size.ws_col))
    stream_->resize(size.ws_row, size.ws_col);
}

}  // namespace husk::vm
