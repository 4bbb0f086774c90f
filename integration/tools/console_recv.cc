// console_recv SOCKET [ROWS COLUMNS]: what an engine does with --console-socket. Listens on SOCKET, takes the
// pty's master that the runtime sends, sets its size, copies it to stdout and stdin to it. Ends when the
// terminal hangs up.
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "unix_socket.h"

namespace {

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

int checked(int fd, const char* what) {
  if (fd < 0) die(what);
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
  const int listener = checked(unix_socket::listen_at(argv[1]), argv[1]);
  const int connection = checked(unix_socket::accept_from(listener), "accept");
  const int master = checked(unix_socket::receive_fd(connection), "the terminal's fd");
  if (!isatty(master)) die("what was sent is no terminal");
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
