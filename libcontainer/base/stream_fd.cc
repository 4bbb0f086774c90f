#include "libcontainer/base/stream_fd.h"

#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/magic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "libcontainer/base/root.h"

#ifndef PIPEFS_MAGIC
#define PIPEFS_MAGIC 0x50495045
#endif

namespace husk {

void unblock(UniqueFd& fd, int mode) {
  struct stat st {};
  if (fstat(fd.get(), &st) != 0 || !(S_ISFIFO(st.st_mode) || isatty(fd.get()))) return;
  UniqueFd own(open(fd_path(fd.get()).c_str(), mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (own) fd = std::move(own);
}

ssize_t read_some(int fd, std::string& buffer) {
  ssize_t n = recv(fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
  return n < 0 && errno == ENOTSOCK ? read(fd, buffer.data(), buffer.size()) : n;
}

ssize_t write_some(int fd, std::string_view data) {
  ssize_t n = send(fd, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  return n < 0 && errno == ENOTSOCK ? write(fd, data.data(), data.size()) : n;
}

bool is_dev_null(int fd) {
  struct stat st {};
  return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3);
}

bool is_named_fifo(int fd) {
  struct stat st {};
  struct statfs fs {};
  return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) && fstatfs(fd, &fs) == 0 && fs.f_type != PIPEFS_MAGIC;
}

bool is_same_output(int a, int b) {
  struct stat first {
  }, second{};
  if (fstat(a, &first) != 0 || fstat(b, &second) != 0) return false;
  if (first.st_dev != second.st_dev || first.st_ino != second.st_ino) return false;
  if (!S_ISREG(first.st_mode)) return true;
  const pid_t self = getpid();
  return syscall(SYS_kcmp, self, self, KCMP_FILE, a, b) == 0;
}

}  // namespace husk
