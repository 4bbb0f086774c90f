// File descriptors that close themselves, and reading and writing through them.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <utility>

namespace husk {

// Owns one fd. Everything husk opens is close-on-exec; what a child needs is handed to spawn() by name.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// A close-on-exec duplicate. Throws.
UniqueFd dup_fd(int fd);
// openat(2) with O_CLOEXEC; throws "open PATH: errno".
UniqueFd open_at(int dir, const std::string& path, int flags, mode_t mode = 0);
inline UniqueFd open_file(const std::string& path, int flags, mode_t mode = 0);

// A connected AF_UNIX pair, close-on-exec. type: SOCK_STREAM or SOCK_SEQPACKET, may carry SOCK_NONBLOCK.
std::pair<UniqueFd, UniqueFd> socket_pair(int type);
// pipe2(2) with O_CLOEXEC: {read end, write end}.
std::pair<UniqueFd, UniqueFd> make_pipe();

// Writes all of data, through EINTR and short writes; throws "what: errno".
void write_all(int fd, std::string_view data, std::string_view what);
// Reads until EOF; throws when more than max bytes come.
std::string read_all(int fd, size_t max, std::string_view what);

// A file in memory that holds data, to be read from its beginning. Throws.
UniqueFd write_memfd(std::string_view data);

void set_nonblocking(int fd, bool on);
// Waits until fd is readable (or at EOF) or the milliseconds have passed (-1: no deadline). True if readable.
bool wait_readable(int fd, int timeout_ms);

}  // namespace husk

#include <fcntl.h>
inline husk::UniqueFd husk::open_file(const std::string& path, int flags, mode_t mode) {
  return open_at(AT_FDCWD, path, flags, mode);
}
