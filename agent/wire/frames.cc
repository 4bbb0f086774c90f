#include "agent/wire/frames.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"

namespace husk::wire {
namespace {

constexpr size_t kBuffer = 128u << 10;
constexpr unsigned kSizeBits = 24;
constexpr int kPatience = static_cast<int>(std::chrono::milliseconds(deadline::kAgentCall).count());

bool is_socket(int fd) {
  struct stat st {};
  return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

bool is_bulk(FrameKind kind) {
  return kind == FrameKind::kStdin || kind == FrameKind::kStdout || kind == FrameKind::kStderr;
}

}  // namespace

FrameLink::FrameLink(UniqueFd fd)
    : fd_(std::move(fd)),
      ended_(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      is_socket_(is_socket(fd_.get())),
      buffer_(new char[kBuffer]) {
  set_nonblocking(fd_.get(), true);
}

// False: the connection has ended, or nothing happens for so long.
bool FrameLink::wait(short events, int timeout_ms) {
  pollfd fds[] = {{fd_.get(), events, 0}, {ended_.get(), POLLIN, 0}};
  int ready;
  while ((ready = poll(fds, 2, timeout_ms)) < 0)
    if (errno != EINTR) return false;
  return ready > 0 && fds[1].revents == 0;
}

// More bytes behind those that are there.
bool FrameLink::fill() {
  if (begin_ > 0) memmove(buffer_.get(), buffer_.get() + begin_, end_ - begin_);
  end_ -= std::exchange(begin_, 0);
  for (;;) {
    const ssize_t n = ::read(fd_.get(), buffer_.get() + end_, kBuffer - end_);
    if (n > 0) {
      end_ += static_cast<size_t>(n);
      return true;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) return false;
    if (!wait(POLLIN, -1)) return false;
  }
}

std::optional<Frame> FrameLink::read() {
  while (end_ - begin_ < kFrameHeader)
    if (!fill()) return {};
  uint32_t header[2];
  memcpy(header, buffer_.get() + begin_, sizeof header);
  begin_ += kFrameHeader;
  Frame frame{header[0], static_cast<FrameKind>(header[1] >> kSizeBits), {}};
  const size_t size = header[1] & kMaxFrame;
  if (frame.kind < FrameKind::kRequest || frame.kind > FrameKind::kEnd ||
      (is_bulk(frame.kind) && size > kMaxBulk))
    throw Error(ErrorKind::kInvalid, "what comes is no frame");
  while (frame.data.size() < size) {
    // As it comes: a size is not believed before its bytes are there.
    if (begin_ == end_ && !fill()) return {};
    const size_t part = std::min(end_ - begin_, size - frame.data.size());
    frame.data.append(buffer_.get() + begin_, part);
    begin_ += part;
  }
  return frame;
}

// A virtio port takes 32 KiB at most in one write, and nothing while the host's queue is full.
bool FrameLink::write_all(const char* data, size_t size) {
  while (size > 0) {
    const ssize_t n = is_socket_ ? send(fd_.get(), data, size, MSG_NOSIGNAL) : ::write(fd_.get(), data, size);
    if (n >= 0) {
      data += n;
      size -= static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      if (!wait(POLLOUT, patient_ ? -1 : kPatience)) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

bool FrameLink::write(uint32_t session, FrameKind kind, std::string_view data) {
  if (data.size() > kMaxFrame) throw Error(ErrorKind::kInvalid, "a frame of more than 16 MiB");
  const uint32_t header[2] = {session, static_cast<uint32_t>(data.size()) | static_cast<uint32_t>(kind)
                                                                                << kSizeBits};
  std::lock_guard lock(write_mutex_);
  out_.assign(reinterpret_cast<const char*>(header), sizeof header);
  out_.append(data);
  const bool written = write_all(out_.data(), out_.size());
  // Half a frame is none.
  if (!written) end();
  if (out_.capacity() > 2 * kMaxBulk) std::string().swap(out_);
  return written;
}

void FrameLink::end() noexcept {
  uint64_t one = 1;
  (void)!::write(ended_.get(), &one, sizeof one);
  if (is_socket_) shutdown(fd_.get(), SHUT_RDWR);
}

}  // namespace husk::wire
