#include "vm/sandbox/relay.h"

#include <fcntl.h>
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

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/root.h"
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

// Waits until fd can be read or one of the events is there; false: an event.
bool wait_for(int fd, int ended, int cancelled) {
  pollfd fds[3] = {{fd, POLLIN, 0}, {ended, POLLIN, 0}, {cancelled, POLLIN, 0}};
  while (poll(fds, 3, -1) < 0)
    if (errno != EINTR) return false;
  return fds[1].revents == 0 && fds[2].revents == 0;
}

void set_event(const UniqueFd& event) {
  uint64_t one = 1;
  (void)!write(event.get(), &one, sizeof one);
}

// The same pipe or terminal by an open file of our own, that never blocks: O_NONBLOCK on the one we got would
// be seen by everybody who has it. What cannot be opened anew (a socket, a pipe whose other end is gone)
// stays as it is.
void unblock(UniqueFd& fd, int mode) {
  struct stat st {};
  if (fstat(fd.get(), &st) != 0 || !(S_ISFIFO(st.st_mode) || isatty(fd.get()))) return;
  UniqueFd own(open(fd_path(fd.get()).c_str(), mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (own) fd = std::move(own);
}

ssize_t write_some(int fd, std::string_view data) {
  ssize_t n = send(fd, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  return n < 0 && errno == ENOTSOCK ? write(fd, data.data(), data.size()) : n;
}

ssize_t read_some(int fd, std::string& buffer) {
  ssize_t n = recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  return n < 0 && errno == ENOTSOCK ? read(fd, buffer.data(), buffer.size()) : n;
}

int to_milliseconds(std::chrono::milliseconds time) {
  return static_cast<int>(time.count());
}

}  // namespace

struct Relay::Answer {
  UniqueFd event{check(eventfd(0, EFD_CLOEXEC), "eventfd")};  // status is there
  ExitStatus status;
};

Relay::Relay(std::unique_ptr<AttachStream> stream, ProcessFds fds, Handlers handlers)
    : stream_(std::move(stream)),
      fds_(std::move(fds)),
      handlers_(std::move(handlers)),
      ended_(check(eventfd(0, EFD_CLOEXEC), "eventfd")),
      cancelled_(check(eventfd(0, EFD_CLOEXEC), "eventfd")) {
  if (fds_.terminal) {
    make_raw(fds_.in.get());
    tty_ = dup_fd(fds_.in.get());
  }
  if (is_dev_null(fds_.in.get()))
    fds_.in.reset();
  else
    unblock(fds_.in, O_RDONLY);
  unblock(fds_.out, O_WRONLY);
  unblock(fds_.err, O_WRONLY);
  // All that may wait for the guest is done by these: our caller holds a lock.
  shim_watch_ = std::thread([this] { watch_shim(); });
  input_ = std::thread([this] { pump_input(); });
  output_ = std::thread([this] { pump_output(); });
}

Relay::~Relay() {
  stream_->cancel();
  set_event(cancelled_);
  for (std::thread* thread : {&output_, &input_, &shim_watch_})
    if (thread->joinable()) thread->join();
}

bool Relay::wait_writable(int fd) {
  for (;;) {
    bool waits_for_end = asked_ && !told_;
    pollfd fds[3] = {{fd, POLLOUT, 0},
                     {cancelled_.get(), POLLIN, 0},
                     {waits_for_end ? asked_->event.get() : -1, POLLIN, 0}};
    int n = poll(fds, 3, asked_ ? -1 : to_milliseconds(deadline::kStalled));
    if (n < 0 && errno != EINTR) return false;
    if (n > 0 && (fds[0].revents || fds[1].revents)) return fds[1].revents == 0;
    if (n == 0) ask_for_end();
    // What the reader takes only now comes before the news all the same.
    if (n > 0 && poll(fds, 2, to_milliseconds(deadline::kLateOutput)) == 0) tell_shim(asked_->status);
  }
}

// Writes all of it, however long that takes the reader; gives up when the relay ends.
void Relay::write_output(UniqueFd& fd, std::string_view data, bool is_stdout) {
  while (fd && !data.empty()) {
    ssize_t n = write_some(fd.get(), data);
    if (n >= 0) {
      data.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      if (!wait_writable(fd.get())) return;
    } else if (errno != EINTR) {
      // The reader is gone: the process in the guest has to see that as SIGPIPE.
      spdlog::debug("{}: errno {}", is_stdout ? "stdout" : "stderr", errno);
      fd.reset();
      if (is_stdout)
        stream_->close_stdout();
      else
        stream_->close_stderr();
    }
  }
}

// Nobody takes the output, behind which the news of the end would come. The thread is not ours to wait for: a
// guest may leave its question open for as long as it lives.
void Relay::ask_for_end() {
  asked_ = std::make_shared<Answer>();
  std::thread([asked = asked_, wait = handlers_.wait] {
    try {
      asked->status = wait();
      set_event(asked->event);
    } catch (const Error& e) {
      spdlog::debug("waiting for a process: {}", e.what());
    }
  }).detach();
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
          if (out.oom_killed) handlers_.out_of_memory();
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
  if (!fds_.in) {
    stream_->close_stdin();
    return;
  }
  std::string buffer(64 << 10, '\0');
  while (wait_for(fds_.in.get(), ended_.get(), cancelled_.get())) {
    ssize_t n = read_some(fds_.in.get(), buffer);
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
  send_window_size();
  while (wait_for(fds_.shim.get(), ended_.get(), cancelled_.get())) {
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
  (void)!send(fds_.shim.get(), &message, sizeof message,
              MSG_NOSIGNAL);  // a shim that was killed needs no news
  set_event(ended_);
}

void Relay::send_window_size() {
  winsize size{};
  if (tty_ && ioctl(tty_.get(), TIOCGWINSZ, &size) == 0 && (size.ws_row || size.ws_col))
    stream_->resize(size.ws_row, size.ws_col);
}

}  // namespace husk::vm
