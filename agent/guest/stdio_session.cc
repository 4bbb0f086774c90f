#include "agent/guest/stdio_session.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <exception>

#include "libcontainer/base/error.h"

namespace husk::guest {
namespace {

constexpr size_t kRead = 16u << 10;  // of a stream that is not busy

// What is in pipes counts for their user (fs.pipe-user-pages-soft: 64 MiB), and root's count for the
// containers' own, too: only a few are this large at a time.
constexpr int kLargePipe = 1 << 20;  // not more than what may be the rest at a process's end
constexpr int kSmallPipe = 256 << 10;
constexpr int kMaxLarge = 8;
std::atomic<int> large{0};

// Held while a pipe is large; nothing when enough are.
std::shared_ptr<void> take_large() {
  if (large.fetch_add(1) < kMaxLarge) return {&large, [](void*) { --large; }};
  --large;
  return {};
}

}  // namespace

StdioSession::StdioSession(std::shared_ptr<Process> process, const Limits& limits)
    : process_(std::move(process)),
      limits_(limits),
      wake_(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  Stdio stdio = process_->take_stdio();
  in_ = std::move(stdio.in);
  out_.fd = std::move(stdio.out);
  err_.fd = std::move(stdio.err);
  if (process_->terminal()) out_.fd = std::move(stdio.console);
}

// While much is written: who writes does not have to stop each time that we could read; to go from one
// process to another is what costs an emulated CPU most.
void StdioSession::set_patient(bool patient) {
  if (std::exchange(patient_, patient) == patient) return;
  const sched_param none{};
  pthread_setschedparam(pthread_self(), patient ? SCHED_BATCH : SCHED_OTHER, &none);
}

void StdioSession::run(const Sink& sink, const Finish& finish) {
  std::exception_ptr failure;
  try {
    serve(sink, finish);
  } catch (...) {
    failure = std::current_exception();
  }
  set_patient(false);  // the thread has other work after this
  give_back();
  if (failure) std::rethrow_exception(failure);
}

void StdioSession::serve(const Sink& sink, const Finish& finish) {
  sink_ = &sink;
  bool listening = sink({Output::Kind::kAttached, {}, {}, 0});
  // What an earlier attachment has closed stays closed.
  if (listening && !out_.fd) listening = end_of(out_);
  if (listening && !err_.fd) listening = end_of(err_);
  while (listening && !(exit_said_ && out_.eof && err_.eof)) {
    if (!wait_events()) break;
    if (!obey()) break;
    listening = feed_stdin() && watch_stdin();
    if (listening && out_.closed && !out_.eof) listening = end_of(out_);
    if (listening && err_.closed && !err_.eof) listening = end_of(err_);
    if (listening && readable_out_ && !out_.eof) listening = forward(out_);
    if (listening && readable_err_ && !err_.eof) listening = forward(err_);
    if (listening && ended_ && !exit_said_) listening = say_exited(finish);
  }
}

// stdin does not outlive the one who was typing; a terminal does.
void StdioSession::give_back() {
  sink_ = nullptr;
  Stdio rest;
  if (process_->terminal()) {
    rest.console = std::move(out_.fd);
  } else {
    rest.out = std::move(out_.fd);
    rest.err = std::move(err_.fd);
  }
  process_->give_stdio_back(std::move(rest));
}

size_t StdioSession::room(const Stream& stream) const {
  return limits_.output_window - std::min(limits_.output_window, stream.on_the_way);
}

bool StdioSession::wait_events() {
  bool terminal = process_->terminal();
  bool input_waits;
  {
    std::lock_guard lock(mutex_);
    input_waits = !piece_.empty() || !queue_.empty();
  }
  auto if_wanted = [this](const Stream& s) { return s.eof || room(s) == 0 ? -1 : s.fd.get(); };
  // A negative fd is ignored. Of stdin POLLERR is always told: its reader is gone.
  pollfd fds[6] = {{wake_.get(), POLLIN, 0},
                   {exit_said_ ? -1 : process_->exit_event(), POLLIN, 0},
                   {if_wanted(out_), POLLIN, 0},
                   {if_wanted(err_), POLLIN, 0},
                   {in_.get(), static_cast<short>(input_waits ? POLLOUT : 0), 0},
                   {terminal && input_waits ? out_.fd.get() : -1, POLLOUT, 0}};
  while (poll(fds, std::size(fds), -1) < 0)
    if (errno != EINTR) return false;
  uint64_t count;
  if (fds[0].revents) (void)!read(wake_.get(), &count, sizeof count);
  ended_ = fds[1].revents != 0;
  readable_out_ = fds[2].revents != 0;
  readable_err_ = fds[3].revents != 0;
  unread_in_ = fds[4].revents & (POLLERR | POLLHUP);
  return true;
}

// Takes over what the other thread asked for; false when the party has gone. What a process of the container
// can hold up, a pipe's write or a terminal's size, is done without the mutex: who has that may be the one
// who hears the host.
bool StdioSession::obey() {
  std::optional<WindowSize> size;
  {
    std::lock_guard lock(mutex_);
    out_.closed = stdout_closed_;
    err_.closed = stderr_closed_;
    out_.on_the_way -= std::min(out_.on_the_way, std::exchange(stdout_taken_, 0));
    err_.on_the_way -= std::min(err_.on_the_way, std::exchange(stderr_taken_, 0));
    size.swap(resized_);
    if (detached_) return false;
  }
  if (size && process_->terminal() && out_.fd) set_window_size(out_.fd.get(), *size);
  return true;
}

// False: there is none.
bool StdioSession::take_piece() {
  if (written_ < piece_.size()) return true;
  written_ = 0;
  piece_.clear();
  std::lock_guard lock(mutex_);
  if (queue_.empty()) return false;
  piece_ = std::move(queue_.front());
  queue_.pop_front();
  return true;
}

// Writes what the process takes now, and throws away what nobody can read.
bool StdioSession::feed_stdin() {
  size_t taken = 0;
  UniqueFd& to = process_->terminal() ? out_.fd : in_;
  while (take_piece()) {
    const size_t left = piece_.size() - written_;
    ssize_t n = static_cast<ssize_t>(left);
    if (to) {
      n = write(to.get(), piece_.data() + written_, left);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) break;
      if (n < 0) {  // EPIPE, or EIO of a terminal: nobody reads
        n = static_cast<ssize_t>(left);
        unread_in_ = true;
      }
    }
    taken += static_cast<size_t>(n);
    written_ += static_cast<size_t>(n);
  }
  {
    std::lock_guard lock(mutex_);
    queued_ -= taken;
    // The end of a terminal's input is for the one who types it to send (^D).
    if (stdin_eof_ && queue_.empty() && piece_.empty()) in_.reset();
  }
  return taken == 0 || (*sink_)({Output::Kind::kStdinTaken, {}, {}, taken});
}

// The host need not go on typing for nobody; who writes to its end of the pipe gets SIGPIPE, as here.
bool StdioSession::watch_stdin() {
  if (!unread_in_ || !in_) return true;
  in_.reset();
  return (*sink_)({Output::Kind::kStdinClosed, {}, {}, 0});
}

// A busy stream's pipe is made large, so that its writer is not stopped often, and gets one of ours behind
// it. False where the kernel has none left.
bool StdioSession::bridge(Stream& stream) {
  if (stream.bridge_in) return true;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return false;
  stream.bridge_out.reset(ends[0]);
  stream.bridge_in.reset(ends[1]);
  // Smaller where the kernel does not want to.
  stream.large = take_large();
  for (const UniqueFd* end : {&stream.fd, &stream.bridge_in})
    fcntl(end->get(), F_SETPIPE_SZ, stream.large ? kLargePipe : kSmallPipe);
  return true;
}

// Pages move from the process's pipe to the host's port, by a pipe that nobody else can read from: so much as
// is announced is in it.
bool StdioSession::splice(Stream& stream) {
  const ssize_t n = ::splice(stream.fd.get(), nullptr, stream.bridge_in.get(), nullptr,
                             std::min(room(stream), limits_.chunk), SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (n <= 0) return end_of(stream);
  const auto size = static_cast<size_t>(n);
  stream.busy = size >= kRead;
  stream.on_the_way += size;
  return (*sink_)({stream.data_kind, {}, {}, 0, stream.bridge_out.get(), size});
}

// One read; at EOF says so.
bool StdioSession::forward(Stream& stream) {
  if (stream.busy) set_patient(true);
  if (stream.busy && !process_->terminal() && bridge(stream)) return splice(stream);
  std::string data(std::min(room(stream), kRead), '\0');
  ssize_t n = read(stream.fd.get(), data.data(), data.size());
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (n <= 0) return end_of(stream);  // EIO: the last one has closed the terminal
  stream.busy = static_cast<size_t>(n) == kRead;
  data.resize(static_cast<size_t>(n));
  stream.on_the_way += data.size();
  return (*sink_)({stream.data_kind, std::move(data), {}, 0});
}

bool StdioSession::end_of(Stream& stream) {
  stream.eof = true;
  // A terminal stays open for a later attachment, unless its reader is gone: then it hangs up.
  if (!process_->terminal() || stream.closed) stream.fd.reset();
  if (stream.closed) process_->hang_up();
  stream.bridge_in.reset();
  stream.bridge_out.reset();
  stream.large.reset();
  return (*sink_)({stream.eof_kind, {}, {}, 0});
}

// All that was written before the end, whatever the window says: the host, too, has to know of the end. And
// no more: a grandchild may write for ever.
bool StdioSession::drain(Stream& stream) {
  if (stream.eof) return true;
  size_t left = limits_.rest;
  int in_pipe = 0;
  if (!process_->terminal() && ioctl(stream.fd.get(), FIONREAD, &in_pipe) == 0)
    left = std::min(left, static_cast<size_t>(std::max(in_pipe, 0)));
  while (left > 0 && !stream.eof) {
    std::string data(std::min(left, kRead), '\0');
    ssize_t n = read(stream.fd.get(), data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return true;
    if (n <= 0) return end_of(stream);
    left -= static_cast<size_t>(n);
    data.resize(static_cast<size_t>(n));
    stream.on_the_way += data.size();
    if (!(*sink_)({stream.data_kind, std::move(data), {}, 0})) return false;
  }
  return true;
}

bool StdioSession::say_exited(const Finish& finish) {
  if (!drain(out_) || !drain(err_)) return false;
  exit_said_ = true;
  std::optional<ExitStatus> status = process_->wait(std::chrono::milliseconds(0));
  return (*sink_)({Output::Kind::kExited, {}, finish(status.value_or(ExitStatus{})), 0});
}

void StdioSession::wake() {
  uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

void StdioSession::write_stdin(std::string data) {
  std::lock_guard lock(mutex_);
  if (stdin_eof_ || data.empty()) return;
  if (queued_ + data.size() > limits_.stdin_window)
    throw Error(ErrorKind::kInvalid, "stdin beyond its window");
  queued_ += data.size();
  queue_.push_back(std::move(data));
  wake();
}

void StdioSession::close_stdin() {
  std::lock_guard lock(mutex_);
  stdin_eof_ = true;
  wake();
}

void StdioSession::resize(const WindowSize& size) {
  std::lock_guard lock(mutex_);
  resized_ = size;
  wake();
}

void StdioSession::stdout_taken(size_t bytes) {
  std::lock_guard lock(mutex_);
  stdout_taken_ += bytes;
  wake();
}

void StdioSession::stderr_taken(size_t bytes) {
  std::lock_guard lock(mutex_);
  stderr_taken_ += bytes;
  wake();
}

void StdioSession::close_stdout() {
  std::lock_guard lock(mutex_);
  stdout_closed_ = true;
  wake();
}

void StdioSession::close_stderr() {
  std::lock_guard lock(mutex_);
  stderr_closed_ = true;
  wake();
}

void StdioSession::detach() {
  std::lock_guard lock(mutex_);
  detached_ = true;
  wake();
}

}  // namespace husk::guest
