#include "libcontainer/container/stdio.h"

#include <fcntl.h>
#include <unistd.h>

#include "libcontainer/base/error.h"
#include "libcontainer/base/message.h"

namespace husk {
namespace {

// The wording is runc's: engines and their tests know it.
void check_combination(const StdioOptions& options) {
  if (options.detach && options.terminal && options.console_socket.empty())
    throw Error(ErrorKind::kInvalid,
                "cannot allocate tty if runc will detach without setting console socket");
  if ((!options.detach || !options.terminal) && !options.console_socket.empty())
    throw Error(ErrorKind::kInvalid, "cannot use console socket if runc will not detach or allocate tty");
}

void set_size(int pty, const StdioOptions& options) {
  winsize size{};
  // In the foreground the terminal that husk was called from is the one that is looked at.
  if (options.console_socket.empty() && own_terminal() >= 0) ioctl(own_terminal(), TIOCGWINSZ, &size);
  if (!size.ws_row && !size.ws_col && options.console_size) {
    size.ws_row = static_cast<unsigned short>(options.console_size->height);
    size.ws_col = static_cast<unsigned short>(options.console_size->width);
  }
  if (size.ws_row || size.ws_col) check(ioctl(pty, TIOCSWINSZ, &size), "set the console's size");
}

}  // namespace

Pty open_pty() {
  Pty pty;
  pty.master = open_file("/dev/ptmx", O_RDWR | O_NOCTTY);
  int unlock = 0, number = 0;
  check(ioctl(pty.master.get(), TIOCSPTLCK, &unlock), "unlock the pty");
  check(ioctl(pty.master.get(), TIOCGPTN, &number), "number of the pty");
  // Not by name: /dev/pts may be another instance than ptmx's.
  pty.slave = UniqueFd(
      check(ioctl(pty.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC), "open the pty's slave"));
  pty.name = "/dev/pts/" + std::to_string(number);
  return pty;
}

int own_terminal() {
  for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (isatty(fd)) return fd;
  return -1;
}

Stdio::Stdio(const StdioOptions& options) : options_(options) {
  check_combination(options);
  if (!options.terminal || options.made_inside) return;
  Pty pty = open_pty();
  pty_.slave = std::move(pty.slave);
  take_master(std::move(pty.master), pty.name);
}

void Stdio::take_master(UniqueFd master, const std::string& name) {
  set_size(master.get(), options_);
  if (options_.console_socket.empty())
    pty_.master = std::move(master);
  else
    send_console(options_.console_socket, master.get(), name);
}

HostStdio Stdio::host() {
  if (!options_.terminal) return {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO, false, {}};
  if (options_.made_inside)
    // Its name means nothing outside of the container; receivers want one all the same.
    return {-1, -1, -1, true, [this](UniqueFd master) { take_master(std::move(master), "/dev/pts/0"); }};
  const int slave = pty_.slave.get();
  return {slave, slave, slave, true, {}};
}

}  // namespace husk
