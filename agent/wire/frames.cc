#include "agent/wire/frames.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"

namespace husk::wire {
namespace {

constexpr size_t kBuffer = 16u << 10;  // what of a large frame goes through it is copied once more
constexpr size_t kKept = 512u << 10;   // of the memory that a frame took, for the next one
constexpr unsigned kSizeBits = 24;

bool is_socket(int fd) {
  struct stat st {};
  return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

using Header = std::array<uint32_t, 2>;
static_assert(sizeof(Header) == kFrameHeader);

Header make_header(uint32_t session, FrameKind kind, size_t size) {
  if (size > kMaxFrame) throw Error(ErrorKind::kInvalid, "a frame of more than 16 MiB");
  return {session, static_cast<uint32_t>(size) | static_cast<uint32_t>(kind) << kSizeBits};
}

std::string_view bytes(const Header& header) {
  return {reinterpret_cast<const char*>(header.data()), sizeof header};
}

bool is_bulk(FrameKind kind) {
  return kind == FrameKind::kStdin || kind == FrameKind::kStdout || kind == FrameKind::kStderr ||
         kind == FrameKind::kData;
}

}  // namespace

FrameLink::FrameLink(UniqueFd fd)
    : fd_(std::move(fd)),
      ended_(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      is_socket_(is_socket(fd_.get())),
      buffer_(new char[kBuffer]) {
  set_nonblocking(fd_.get(), true);
}

// In the order in which they came: else bulk would take it again before anybody who waits has woken.
class FrameLink::Turn {
 public:
  Turn(FrameLink& link, Clock::time_point end) : link_(link) {
    std::unique_lock lock(link_.turn_mutex_);
    const auto place = link_.turns_.insert(link_.turns_.end(), this);
    const auto decided = [&] { return link_.over_ || link_.turns_.front() == this; };
    if (end == Clock::time_point::max())
      changed_.wait(lock, decided);
    else
      changed_.wait_until(lock, end, decided);
    mine_ = !link_.over_ && link_.turns_.front() == this;
    if (!mine_) link_.turns_.erase(place);
  }
  ~Turn() {
    if (!mine_) return;
    std::lock_guard lock(link_.turn_mutex_);
    link_.turns_.pop_front();
    if (!link_.turns_.empty()) link_.turns_.front()->changed_.notify_one();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  explicit operator bool() const { return mine_; }
  void wake() { changed_.notify_one(); }

 private:
  FrameLink& link_;
  std::condition_variable changed_;
  bool mine_ = false;
};

FrameLink::Clock::time_point FrameLink::frame_deadline() const {
  return patient_ ? Clock::time_point::max() : Clock::now() + deadline::kAgentCall;
}

// False: the connection has ended, or nothing has happened by then.
bool FrameLink::wait(short events, Clock::time_point end) {
  pollfd fds[] = {{fd_.get(), events, 0}, {ended_.get(), POLLIN, 0}};
  int ready;
  do {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
    ready = poll(fds, 2, end == Clock::time_point::max() ? -1 : static_cast<int>(std::max<int64_t>(left, 0)));
  } while (ready < 0 && errno == EINTR);
  return ready > 0 && fds[1].revents == 0;
}

// Some bytes; 0 at the end.
size_t FrameLink::read_some(char* to, size_t size) {
  for (;;) {
    const ssize_t n = ::read(fd_.get(), to, size);
    if (n > 0) return static_cast<size_t>(n);
    if (n == 0 || (errno != EAGAIN && errno != EINTR) || !wait(POLLIN, Clock::time_point::max())) return 0;
  }
}

// More bytes behind those that are there.
bool FrameLink::fill() {
  if (begin_ > 0) memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
  end_ -= std::exchange(begin_, 0);
  const size_t n = read_some(buffer_.get() + end_, kBuffer - end_);
  end_ += n;
  return n > 0;
}

// Into its place, past the buffer.
std::optional<Frame> FrameLink::read_rest(Frame frame, size_t size) {
  frame.data.assign(buffer_.get() + begin_, end_ - begin_);
  begin_ = end_ = 0;
  size_t done = frame.data.size();
  frame.data.resize(size);
  while (done < size) {
    const size_t n = read_some(frame.data.data() + done, size - done);
    if (n == 0) return {};
    done += n;
  }
  return frame;
}

std::optional<Frame> FrameLink::read() {
  while (end_ - begin_ < kFrameHeader)
    if (!fill()) return {};
  uint32_t header[2];
  memcpy(header, buffer_.get() + begin_, sizeof header);
  begin_ += kFrameHeader;
  Frame frame{header[0], static_cast<FrameKind>(header[1] >> kSizeBits), {}};
  const size_t size = header[1] & kMaxFrame;
  if (frame.kind < FrameKind::kRequest || frame.kind > FrameKind::kClosed ||
      (is_bulk(frame.kind) && size > kMaxBulk))
    throw Error(ErrorKind::kInvalid, "what comes is no frame");
  if (is_bulk(frame.kind) && size > end_ - begin_) return read_rest(std::move(frame), size);
  while (frame.data.size() < size) {
    // As it comes: a size is not believed before its bytes are there.
    if (begin_ == end_ && !fill()) return {};
    const size_t part = std::min(end_ - begin_, size - frame.data.size());
    frame.data.append(buffer_.get() + begin_, part);
    begin_ += part;
  }
  return frame;
}

// How many of them: all, or the connection has ended, or the rest was not taken by then. A virtio port takes
// 32 KiB at most in one write, and nothing while the host's queue is full.
size_t FrameLink::write_some(const char* data, size_t size, Clock::time_point end) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = is_socket_ ? send(fd_.get(), data + done, size - done, MSG_NOSIGNAL)
                                 : ::write(fd_.get(), data + done, size - done);
    if (n >= 0)
      done += static_cast<size_t>(n);
    else if (errno == EAGAIN ? !wait(POLLOUT, end) : errno != EINTR)
      break;
  }
  return done;
}

bool FrameLink::write_zeros(size_t size, Clock::time_point end) {
  const std::string zeros(size, '\0');
  return write_some(zeros.data(), zeros.size(), end) == size;
}

// As many as move by themselves. What does not may be the pipe's fault: a page of a file that has become
// unreadable.
size_t FrameLink::splice_some(int pipe, size_t size, Clock::time_point end) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n =
        ::splice(pipe, nullptr, fd_.get(), nullptr, size - done, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    if (n > 0) {
      done += static_cast<size_t>(n);
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    // It also says EAGAIN when nothing is left to move.
    if (n == 0 || errno != EAGAIN || !wait_readable(pipe, 0) || !wait(POLLOUT, end)) break;
  }
  return done;
}

// As many as can be read. A short count may also be the connection's end.
size_t FrameLink::copy_some(int pipe, size_t size, Clock::time_point end) {
  size_t done = 0;
  std::array<char, 4096> part;
  while (done < size) {
    const ssize_t n = ::read(pipe, part.data(), std::min(part.size(), size - done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    const size_t written = write_some(part.data(), static_cast<size_t>(n), end);
    done += written;
    if (written < static_cast<size_t>(n)) break;
  }
  return done;
}

FrameLink::Spliced FrameLink::splice(uint32_t session, FrameKind kind, int pipe, size_t size) {
  const Header header = make_header(session, kind, size);
  const Turn turn(*this, Clock::time_point::max());
  if (!turn) return Spliced::kGone;
  const auto end = frame_deadline();
  bool written = write_some(bytes(header).data(), sizeof header, end) == sizeof header;
  size_t left = size;
  if (written) left -= splice_some(pipe, left, end);
  if (written && left > 0) left -= copy_some(pipe, left, end);
  // The size has been said: there have to be so many.
  if (written && left > 0) written = write_zeros(left, end);
  if (!written) this->end();
  return !written ? Spliced::kGone : left > 0 ? Spliced::kLost : Spliced::kAll;
}

// By whose turn it is. How much of both was written.
size_t FrameLink::write_frame(std::string_view header, std::string_view data, Clock::time_point end) {
  out_.assign(header);
  out_.append(data);
  const size_t written = write_some(out_.data(), out_.size(), end);
  if (out_.capacity() > kKept) std::string().swap(out_);
  return written;
}

bool FrameLink::write(uint32_t session, FrameKind kind, std::string_view data) {
  const Header header = make_header(session, kind, data.size());
  const Turn turn(*this, Clock::time_point::max());
  if (!turn) return false;
  if (write_frame(bytes(header), data, frame_deadline()) == kFrameHeader + data.size()) return true;
  this->end();
  return false;
}

bool FrameLink::write_by(Clock::time_point end, uint32_t session, FrameKind kind, std::string_view data) {
  const Header header = make_header(session, kind, data.size());
  const Turn turn(*this, end);
  if (!turn) return false;
  const size_t written = write_frame(bytes(header), data, end);
  if (written == kFrameHeader + data.size()) return true;
  if (written > 0) this->end();  // half a frame is none
  return false;
}

void FrameLink::end() noexcept {
  {
    std::lock_guard lock(turn_mutex_);
    over_ = true;
    for (Turn* turn : turns_) turn->wake();
  }
  if (is_socket_) shutdown(fd_.get(), SHUT_RDWR);
  uint64_t one = 1;
  (void)!::write(ended_.get(), &one, sizeof one);
}

}  // namespace husk::wire
