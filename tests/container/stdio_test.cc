#include "libcontainer/container/stdio.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include <cstring>

#include "libcontainer/base/message.h"
#include "tests/base/temp_folder.h"
#include "tests/container/expect_error.h"

namespace husk::test {
namespace {

// What conmon does with the socket: one fd, and the pty's name.
UniqueFd receive_console(int listener, std::string& name) {
  UniqueFd peer(check(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC), "accept"));
  char text[64];
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  iovec iov{text, sizeof text};
  msghdr msg{};
  msg.msg_iov = &iov;
  msg.msg_iovlen = 1;
  msg.msg_control = control;
  msg.msg_controllen = sizeof control;
  const ssize_t n = check(recvmsg(peer.get(), &msg, MSG_CMSG_CLOEXEC), "recvmsg");
  name.assign(text, static_cast<size_t>(n));
  int fd = -1;
  memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof fd);
  return UniqueFd(fd);
}

TEST(Stdio, CombinationsThatLeaveNobodyToHoldTheMaster) {
  expect_error(ErrorKind::kInvalid, "cannot allocate tty if runc will detach without setting console socket",
               [] {
                 Stdio({true, "", true, {}});
               });
  expect_error(ErrorKind::kInvalid, "cannot use console socket if runc will not detach or allocate tty", [] {
    Stdio({false, "/s", true, {}});
  });
  expect_error(ErrorKind::kInvalid, "cannot use console socket", [] { Stdio({true, "/s", false, {}}); });
  expect_error(ErrorKind::kNotFound, "console socket", [] { Stdio({true, "/nowhere/socket", true, {}}); });
}

TEST(Stdio, InheritedWithoutATerminal) {
  Stdio stdio({false, "", true, {}});
  EXPECT_EQ(0, stdio.host().in);
  EXPECT_EQ(2, stdio.host().err);
  EXPECT_FALSE(stdio.host().terminal);
  EXPECT_EQ(-1, stdio.master());
}

TEST(Stdio, MasterGoesToTheConsoleSocketInTheSizeWanted) {
  TempFolder dir;
  UniqueFd folder = open_file(dir.path, O_PATH | O_DIRECTORY);
  UniqueFd listener = listen_at(folder.get(), "console", SOCK_STREAM);
  Stdio stdio({true, dir / "console", true, spec::Box{40, 100}});
  std::string name;
  UniqueFd master = receive_console(listener.get(), name);
  EXPECT_EQ(0u, name.find("/dev/pts/"));
  EXPECT_EQ(-1, stdio.master());

  const HostStdio host = stdio.host();
  EXPECT_TRUE(host.terminal);
  EXPECT_EQ(host.in, host.out);
  winsize size{};
  ASSERT_EQ(0, ioctl(master.get(), TIOCGWINSZ, &size));
  EXPECT_EQ(40, size.ws_row);
  EXPECT_EQ(100, size.ws_col);
  write_all(host.out, "hello", "write");
  char buf[16];
  EXPECT_EQ(5, read(master.get(), buf, sizeof buf));
  stdio.close_slave();
  EXPECT_EQ(-1, read(master.get(), buf, sizeof buf));  // EIO: the last slave is gone
}

TEST(Stdio, InTheForegroundTheCallersTerminalsSizeCounts) {
  const Pty own = open_pty();
  winsize size{};
  size.ws_row = 33;
  size.ws_col = 77;
  ASSERT_EQ(0, ioctl(own.master.get(), TIOCSWINSZ, &size));
  const UniqueFd before = dup_fd(0);
  dup2(own.slave.get(), 0);
  Stdio stdio({true, "", false, spec::Box{40, 100}});
  dup2(before.get(), 0);
  winsize seen{};
  ASSERT_EQ(0, ioctl(stdio.master(), TIOCGWINSZ, &seen));
  EXPECT_EQ(33, seen.ws_row);
  EXPECT_EQ(77, seen.ws_col);
}

TEST(Stdio, TheForegroundKeepsTheMaster) {
  Stdio stdio({true, "", false, {}});
  EXPECT_GE(stdio.master(), 0);
  EXPECT_TRUE(isatty(stdio.host().in));
  EXPECT_TRUE(fcntl(stdio.master(), F_GETFD) & FD_CLOEXEC);
}

}  // namespace
}  // namespace husk::test
