#include "vm/sandbox/relay.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <system_error>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/stream_fd.h"
#include "vm/sandbox/shim_protocol.h"

namespace husk::vm {
namespace {

using std::chrono::steady_clock;

// The guest's pty does the line discipline; this one only carries bytes.
void make_raw(int tty) {
  termios t{};
  if (tcgetattr(tty, &t) != 0) return;
  cfmakeraw(&t);
  tcsetattr(tty, TCSANOW, &t);
}

UniqueFd make_event() {
  return UniqueFd(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
}

void set_event(const UniqueFd& event) {
  uint64_t one = 1;
  (void)!write(event.get(), &one, sizeof one);
}

// Waits until fd can be read; false: the event is there.
bool wait_for(int fd, const UniqueFd& event) {
  pollfd fds[2] = {{fd, POLLIN, 0}, {event.get(), POLLIN, 0}};
  while (poll(fds, 2, -1) < 0)
    if (errno != EINTR) return false;
  return fds[1].revents == 0;
}

// signal(7): what by default, or always, ends no process.
bool may_end(int signal) {
  switch (signal) {
    case 0:
    case SIGCHLD:
    case SIGCONT:
    case SIGURG:
    case SIGWINCH:
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
      return false;
    default:
      return true;
  }
}

std::optional<WindowSize> size_of(const UniqueFd& tty) {
  winsize size{};
  if (!tty || ioctl(tty.get(), TIOCGWINSZ, &size) != 0 || !(size.ws_row || size.ws_col)) return {};
  return WindowSize{size.ws_row, size.ws_col};
}

}  // namespace

ProcessFds ProcessFds::take(std::vector<UniqueFd>& fds, bool terminal) {
  ProcessFds out{std::move(fds[0]), std::move(fds[1]), std::move(fds[2]), std::move(fds[3]), terminal, false};
  out.one_output = !terminal && is_same_output(out.out.get(), out.err.get());
  if (terminal) make_raw(out.in.get());
  return out;
}

std::optional<WindowSize> ProcessFds::window_size() const {
  return terminal ? size_of(in) : std::nullopt;
}

Relay::Relay(std::unique_ptr<AttachStream> stream, ProcessFds fds, Handlers handlers)
    : stream_(std::move(stream)),
      fds_(std::move(fds)),
      handlers_(std::move(handlers)),
      told_event_(make_event()),
      input_over_(make_event()),
      finished_(make_event()),
      resized_(make_event()) {
  if (fds_.terminal) tty_ = dup_fd(fds_.in.get());
  if (is_dev_null(fds_.in.get()))
    fds_.in.reset();
  else
    unblock(fds_.in, O_RDONLY);
  try {
    begin();
  } catch (const std::system_error& e) {
    end_threads();
    throw_errno("making a thread for a process's streams", e.code().value());
  } catch (...) {
    end_threads();
    throw;
  }
}

// The reader is the last: nothing is told of the process where one of these cannot be made.
void Relay::begin() {
  out_ = std::make_unique<OutputWriter>(
      std::move(fds_.out), OutputWriter::Handlers{[this](size_t bytes) { stream_->stdout_taken(bytes); },
                                                  [this] { stream_->close_stdout(); }});
  if (fds_.terminal || fds_.one_output)
    fds_.err.reset();
  else
    err_ = std::make_unique<OutputWriter>(
        std::move(fds_.err), OutputWriter::Handlers{[this](size_t bytes) { stream_->stderr_taken(bytes); },
                                                    [this] { stream_->close_stderr(); }});
  shim_watch_ = std::thread([this] { watch_shim(); });
  input_ = std::thread([this] { pump_input(); });
  reader_ = std::thread([this] { pump_output(); });
}

Relay::~Relay() {
  end_threads();
  tell_shim({0, SIGKILL});
}

void Relay::end_threads() noexcept {
  stream_->cancel();
  set_event(told_event_);
  set_event(input_over_);
  for (std::thread* thread : {&reader_, &input_, &shim_watch_})
    if (thread->joinable()) thread->join();
  out_.reset();
  err_.reset();
}

bool Relay::on_signal(int signal) {
  if (!may_end(signal)) return false;
  bool known = false;
  {
    std::lock_guard lock(mutex_);
    last_signal_ = steady_clock::now();
    known = end_known_;
  }
  if (known) hurry();
  return known && !told_;
}

void Relay::hurry() {
  out_->hurry();
  if (err_) err_->hurry();
}

bool Relay::wait_finished(std::chrono::milliseconds timeout) {
  return wait_readable(finished_.get(), static_cast<int>(timeout.count()));
}

void Relay::behind_output(std::function<void()> call) {
  auto left = std::make_shared<std::atomic<int>>(err_ ? 2 : 1);
  auto one_done = [left, call = std::move(call)] {
    if (--*left == 0) call();
  };
  out_->then(one_done);
  if (err_) err_->then(one_done);
}

// Later output, of others who have the pipes, is nothing to wait for.
void Relay::know_end(ExitStatus status) {
  bool signalled = false;
  {
    std::lock_guard lock(mutex_);
    end_known_ = true;
    signalled = steady_clock::now() < last_signal_ + deadline::kProcessEnd;
  }
  if (signalled) hurry();
  behind_output([this, status] { tell_shim(status); });
}

void Relay::pump_output() {
  ExitStatus last{0, SIGKILL};  // if the guest goes away, so has the process
  try {
    read_output(last);
  } catch (const Error& e) {
    spdlog::debug("relay: {}", e.what());
    hurry();
  } catch (const std::exception& e) {  // no memory
    spdlog::warn("a process's streams are lost, and it is killed: {}", e.what());
    handlers_.signal(SIGKILL);
    hurry();
  }
  finish(last);
}

void Relay::read_output(ExitStatus& last) {
  int left = 3;  // its end, and that of both outputs
  AttachStream::Output out;
  while (stream_->read(out)) {
    switch (out.event) {
      case AttachStream::Event::kStdout:
        out_->write(std::move(out.data));
        break;
      case AttachStream::Event::kStderr:
        if (err_) err_->write(std::move(out.data));
        break;
      case AttachStream::Event::kStdoutEof:
        out_->close();
        --left;
        break;
      case AttachStream::Event::kStderrEof:
        if (err_) err_->close();
        --left;
        break;
      case AttachStream::Event::kStdinClosed:
        set_event(input_over_);
        break;
      case AttachStream::Event::kExited:
        last = out.status;
        if (out.oom_killed) handlers_.out_of_memory();
        know_end(last);
        --left;
        break;
    }
    if (left == 0) behind_output(handlers_.complete);
  }
}

// Behind the output; where there is no memory for that, at once.
void Relay::finish(ExitStatus last) {
  const auto end = [this, last] {
    tell_shim(last);
    set_event(finished_);
    handlers_.finished();
  };
  try {
    out_->close();
    if (err_) err_->close();
    behind_output(end);
  } catch (const std::exception& e) {
    spdlog::warn("a process's end does not wait for its output: {}", e.what());
    end();
  }
}

// One that gets no more of its input must not take that for its end.
void Relay::pump_input() {
  try {
    const bool hangs_up = fds_.in && fds_.terminal;  // a pipe just ends
    if (!fds_.in || read_input()) hangs_up ? stream_->close_stdout() : stream_->close_stdin();
  } catch (const std::exception& e) {  // no memory
    spdlog::warn("a process's input is lost, and it is killed: {}", e.what());
    handlers_.signal(SIGKILL);
  }
  fds_.in.reset();
}

// True: to its end.
bool Relay::read_input() {
  std::string buffer(64 << 10, '\0');
  while (wait_for(fds_.in.get(), input_over_)) {
    ssize_t n = read_some(fds_.in.get(), buffer);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0) return true;
    if (!stream_->write_stdin(std::string_view(buffer.data(), static_cast<size_t>(n)))) return false;
  }
  return false;
}

void Relay::watch_shim() {
  for (;;) {
    pollfd fds[3] = {
        {fds_.shim.get(), POLLIN, 0}, {told_event_.get(), POLLIN, 0}, {resized_.get(), POLLIN, 0}};
    if (poll(fds, std::size(fds), -1) < 0 && errno != EINTR) return;
    if (fds[1].revents) return;
    uint64_t count;
    if (fds[2].revents && read(resized_.get(), &count, sizeof count) > 0) send_window_size();
    if (fds[0].revents && !hear_shim()) return;
  }
}

// False: the shim is gone.
bool Relay::hear_shim() {
  ShimMessage message{};
  const ssize_t n = recv(fds_.shim.get(), &message, sizeof message, MSG_DONTWAIT);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return true;
  const bool here = n == sizeof message;
  if (here && message.type == ShimMessageType::kResized) send_window_size();
  if (here && message.type != ShimMessageType::kSignal) return true;
  const int signal = here ? message.value : SIGKILL;
  if (!on_signal(signal) && !told_) handlers_.signal(signal);
  return here;
}

void Relay::tell_shim(ExitStatus status) {
  if (told_.exchange(true)) return;
  handlers_.exited(status);
  ShimMessage message{ShimMessageType::kExited, status.code, status.signal};
  (void)!send(fds_.shim.get(), &message, sizeof message,
              MSG_NOSIGNAL);  // a shim that was killed needs no news
  set_event(told_event_);
  set_event(input_over_);
}

std::optional<WindowSize> Relay::window_size() const {
  return size_of(tty_);
}

void Relay::resize() {
  set_event(resized_);
}

void Relay::send_window_size() noexcept {
  try {
    if (const auto size = window_size()) stream_->resize(size->rows, size->columns);
  } catch (const std::exception& e) {
    spdlog::warn("a terminal's size is not told: {}", e.what());
  }
}

}  // namespace husk::vm
