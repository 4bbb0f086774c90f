// console_recv SOCKET [ROWS COLUMNS]: what an engine does with --console-socket. Listens on SOCKET, takes the
// pty's master that the runtime sends, sets its size, copies it to stdout and stdin to it. Ends when the
// terminal hangs up.
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int listen_on(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address.sun_path) die("path too long");
  strcpy(address.sun_path, path);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(fd, 1) != 0)
    die("listen");
  return fd;
}

int receive_fd(int socket) {
  char name[4096];
  iovec data{name, sizeof name};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) <= 0) die("recvmsg");
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (!header || header->cmsg_type != SCM_RIGHTS) die("no file descriptor in the message");
  int fd = -1;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  if (!isatty(fd)) die("what was sent is no terminal");
  return fd;
}

// False at the end.
bool copy(int from, int to) {
  char buffer[65536];
  const ssize_t n = read(from, buffer, sizeof buffer);
  if (n <= 0) return n < 0 && errno == EINTR;
  for (ssize_t done = 0; done < n;) {
    const ssize_t written = write(to, buffer + done, static_cast<size_t>(n - done));
    if (written < 0) return false;
    done += written;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 4) return fprintf(stderr, "usage: console_recv SOCKET [ROWS COLUMNS]\n"), 2;
  const int listener = listen_on(argv[1]);
  const int connection = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
  if (connection < 0) die("accept");
  const int master = receive_fd(connection);
  close(connection);
  unlink(argv[1]);
  if (argc == 4) {
    winsize size{};
    size.ws_row = static_cast<unsigned short>(atoi(argv[2]));
    size.ws_col = static_cast<unsigned short>(atoi(argv[3]));
    if (ioctl(master, TIOCSWINSZ, &size) != 0) die("TIOCSWINSZ");
  }
  pollfd fds[2] = {{master, POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
  for (;;) {
    if (poll(fds, 2, -1) < 0 && errno != EINTR) die("poll");
    if (fds[0].revents && !copy(master, STDOUT_FILENO)) return 0;
    if (fds[1].revents && !copy(STDIN_FILENO, master)) fds[1].fd = -1;
  }
}
