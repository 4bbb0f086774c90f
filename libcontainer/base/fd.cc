#include "libcontainer/base/fd.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "libcontainer/base/error.h"

namespace husk {

void UniqueFd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);  // an error of close(2) has no cure and the fd is gone all the same
  fd_ = fd;
}

UniqueFd dup_fd(int fd) {
  return UniqueFd(check(fcntl(fd, F_DUPFD_CLOEXEC, 3), "dup"));
}

UniqueFd open_at(int dir, const std::string& path, int flags, mode_t mode) {
  int fd = openat(dir, path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) throw_errno("open " + path);
  return UniqueFd(fd);
}

std::pair<UniqueFd, UniqueFd> socket_pair(int type) {
  int fds[2];
  check(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), "socketpair");
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

std::pair<UniqueFd, UniqueFd> make_pipe() {
  int fds[2];
  check(pipe2(fds, O_CLOEXEC), "pipe2");
  return {UniqueFd(fds[0]), UniqueFd(fds[1])};
}

void write_all(int fd, std::string_view data, std::string_view what) {
  while (!data.empty()) {
    ssize_t n = write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      pollfd p{fd, POLLOUT, 0};
      poll(&p, 1, -1);
      continue;
    }
    if (n < 0) throw_errno(what);
    data.remove_prefix(static_cast<size_t>(n));
  }
}

std::string read_all(int fd, size_t max, std::string_view what) {
  std::string out;
  char buf[65536];
  for (;;) {
    ssize_t n = read(fd, buf, sizeof buf);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno(what);
    if (n == 0) return out;
    out.append(buf, static_cast<size_t>(n));
    if (out.size() > max)
      throw Error(ErrorKind::kInvalid, std::string(what) + ": larger than " + std::to_string(max) + " bytes");
  }
}

UniqueFd write_memfd(std::string_view data) {
  UniqueFd fd(check(memfd_create("husk", MFD_CLOEXEC), "memfd_create"));
  write_all(fd.get(), data, "writing a memfd");
  check(lseek(fd.get(), 0, SEEK_SET), "lseek");
  return fd;
}

void set_nonblocking(int fd, bool on) {
  int flags = check(fcntl(fd, F_GETFL), "fcntl F_GETFL");
  check(fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), "fcntl F_SETFL");
}

bool wait_readable(int fd, int timeout_ms) {
  pollfd p{fd, POLLIN, 0};
  for (;;) {
    int n = poll(&p, 1, timeout_ms);
    if (n < 0 && errno == EINTR) continue;  // a signal starts the wait anew: callers' deadlines are coarse
    return check(n, "poll") > 0;
  }
}

}  // namespace husk
