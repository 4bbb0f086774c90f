#include "libcontainer/container/foreground.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include "libcontainer/base/process.h"
#include "libcontainer/container/stdio.h"
#include "tests/container/expect_error.h"

namespace husk::test {
namespace {

// Foreground blocks all signals, for good: each case in a process of its own. Returns its exit code.
int in_child(const std::function<int()>& f) {
  const pid_t pid = fork();
  if (pid == 0) _exit(f());
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

pid_t shell(const std::string& script, std::vector<std::pair<int, int>> fds = {}) {
  SpawnOptions options;
  options.argv = {"/bin/sh", "-c", script};
  options.fds = std::move(fds);
  options.new_session = true;
  return spawn(options).pid;
}

TEST(Foreground, TheExitCodeIsTheProcesss) {
  EXPECT_EQ(0, in_child([] { return Foreground().wait(shell("exit 0")); }));
  EXPECT_EQ(42, in_child([] { return Foreground().wait(shell("exit 42")); }));
  EXPECT_EQ(128 + 9, in_child([] { return Foreground().wait(shell("kill -9 $$")); }));
}

TEST(Foreground, SignalsAreHandedOn) {
  EXPECT_EQ(
      17, in_child([] {
        Foreground foreground;
        auto [out, in] = make_pipe();
        const pid_t pid = shell("trap 'exit 17' TERM; echo; while :; do sleep 0.05; done", {{in.get(), 1}});
        in.reset();
        char byte;
        if (read(out.get(), &byte, 1) != 1) return 99;  // the trap is set
        kill(getpid(), SIGTERM);
        return foreground.wait(pid);
      }));
}

TEST(Foreground, CopiesTheTerminalToItsEnd) {
  auto [out, in] = make_pipe();
  const pid_t pid = fork();
  if (pid == 0) {
    dup2(in.get(), 1);
    dup2(open("/dev/null", O_RDWR), 0);
    Stdio stdio({true, "", false, spec::Box{24, 80}});
    Foreground foreground;
    const int slave = stdio.host().in;
    const pid_t process = shell("stty size; seq 1 20000; exit 5", {{slave, 0}, {slave, 1}, {slave, 2}});
    stdio.close_slave();
    _exit(foreground.wait(process, stdio.master()));
  }
  in.reset();
  const std::string text = read_all(out.get(), 1 << 20, "read");
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_EQ(5, WEXITSTATUS(status));
  EXPECT_EQ(0u, text.find("24 80\r\n1\r\n2\r\n"));
  ASSERT_GT(text.size(), 7u);
  EXPECT_EQ("20000\r\n", text.substr(text.size() - 7));
}

TEST(TerminalRelay, CopiesBothWays) {
  Pty pty = open_pty();
  termios raw{};
  tcgetattr(pty.slave.get(), &raw);
  cfmakeraw(&raw);
  tcsetattr(pty.slave.get(), TCSANOW, &raw);
  auto [stdin_read, stdin_write] = make_pipe();
  auto [stdout_read, stdout_write] = make_pipe();
  TerminalRelay relay(pty.master.get(), stdin_read.get(), stdout_write.get(), -1);

  write_all(stdin_write.get(), "typed", "write");
  relay.on_in();
  char buf[64];
  EXPECT_EQ(5, read(pty.slave.get(), buf, sizeof buf));
  write_all(pty.slave.get(), "shown", "write");
  relay.on_master(POLLIN);
  EXPECT_EQ(5, read(stdout_read.get(), buf, sizeof buf));

  // stdin's end is not the terminal's.
  stdin_write.reset();
  relay.on_in();
  EXPECT_EQ(-1, relay.in_fd());
  write_all(pty.slave.get(), "last words", "write");
  pty.slave.reset();
  relay.drain();
  EXPECT_EQ(10, read(stdout_read.get(), buf, sizeof buf));
  EXPECT_EQ(-1, relay.master_fd());
}

TEST(TerminalRelay, MoreInputThanTheProcessReadsDoesNotBlock) {
  Pty pty = open_pty();
  auto [stdin_read, stdin_write] = make_pipe();
  auto [stdout_read, stdout_write] = make_pipe();
  TerminalRelay relay(pty.master.get(), stdin_read.get(), stdout_write.get(), -1);
  set_nonblocking(stdin_write.get(), true);
  const std::string much(60'000, 'x');
  write_all(stdin_write.get(), much, "write");
  for (int i = 0; i < 100 && relay.in_fd() >= 0; ++i) {
    if (!wait_readable(relay.in_fd(), 0)) break;
    relay.on_in();
  }
  EXPECT_EQ(-1, relay.in_fd());  // it stops reading, it doesn't stop
  EXPECT_TRUE(relay.master_events() & POLLOUT);
}

TEST(TerminalRelay, AReaderThatDoesNotReadDoesNotBlock) {
  Pty pty = open_pty();
  auto [stdin_read, stdin_write] = make_pipe();
  auto [stdout_read, stdout_write] = make_pipe();
  TerminalRelay relay(pty.master.get(), stdin_read.get(), stdout_write.get(), -1);
  set_nonblocking(pty.slave.get(), true);
  const std::string much(1000, 'x');
  size_t written = 0;
  for (int i = 0; i < 1000 && relay.out_fd() < 0; ++i) {
    const ssize_t n = write(pty.slave.get(), much.data(), much.size());
    written += n > 0 ? static_cast<size_t>(n) : 0;
    relay.on_master(POLLIN);
  }
  EXPECT_GE(relay.out_fd(), 0);  // it waits for the reader
  EXPECT_EQ(-1, relay.master_fd());
  pty.slave.reset();
  stdout_write.reset();
  std::thread reader([&relay] { relay.drain(); });
  std::string text;
  char buf[4096];
  while (text.size() < written) {
    const ssize_t n = read(stdout_read.get(), buf, sizeof buf);
    if (n <= 0) break;
    text.append(buf, static_cast<size_t>(n));
  }
  reader.join();
  EXPECT_EQ(written, text.size());
}

TEST(TerminalRelay, TakesOverTheSizeOfHusksOwnTerminal) {
  Pty own = open_pty(), pty = open_pty();
  auto [stdin_read, stdin_write] = make_pipe();
  auto [stdout_read, stdout_write] = make_pipe();
  TerminalRelay relay(pty.master.get(), stdin_read.get(), stdout_write.get(), own.slave.get());
  winsize size{};
  size.ws_row = 50;
  size.ws_col = 132;
  ASSERT_EQ(0, ioctl(own.master.get(), TIOCSWINSZ, &size));
  relay.resize();
  winsize seen{};
  ASSERT_EQ(0, ioctl(pty.slave.get(), TIOCGWINSZ, &seen));
  EXPECT_EQ(50, seen.ws_row);
  EXPECT_EQ(132, seen.ws_col);
}

TEST(RawMode, IsTakenBack) {
  Pty pty = open_pty();
  termios before{}, during{}, after{};
  tcgetattr(pty.slave.get(), &before);
  {
    RawMode raw(pty.slave.get());
    tcgetattr(pty.slave.get(), &during);
  }
  tcgetattr(pty.slave.get(), &after);
  EXPECT_EQ(0u, during.c_lflag & (ICANON | ECHO | ISIG));
  EXPECT_EQ(before.c_lflag, after.c_lflag);
  EXPECT_EQ(before.c_oflag, after.c_oflag);
}

}  // namespace
}  // namespace husk::test
