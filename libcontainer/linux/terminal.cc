#include "libcontainer/linux/terminal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/mounts.h"

namespace husk {
namespace {

UniqueFd open_ptmx(const Root& root) {
  UniqueFd fd = root.open(root.exists("/dev/pts/ptmx") ? "/dev/pts/ptmx" : "/dev/ptmx", O_RDWR | O_NOCTTY);
  // An image may have put anything there; only the kernel's multiplexer knows this request.
  int unlock = 0;
  check(ioctl(fd.get(), TIOCSPTLCK, &unlock), "/dev/ptmx is not a pty multiplexer");
  return fd;
}

}  // namespace

Terminal open_terminal(const Root& root, const std::optional<spec::Box>& size) {
  return with_context("opening a terminal", [&] {
    Terminal t;
    t.master = open_ptmx(root);
    // By ioctl and not by path: the slave's name could be a trap by the time we open it.
    t.slave =
        UniqueFd(check(ioctl(t.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC), "TIOCGPTPEER"));
    if (size) {
      winsize w{};
      w.ws_row = static_cast<unsigned short>(size->height);
      w.ws_col = static_cast<unsigned short>(size->width);
      check(ioctl(t.slave.get(), TIOCSWINSZ, &w), "setting the window size");
    }
    return t;
  });
}

void mount_console(const Root& root, const Terminal& terminal) {
  with_context("mounting /dev/console", [&] {
    UniqueFd target = root.make_file("/dev/console", 0666);
    attach_mount(clone_mount(AT_FDCWD, fd_path(terminal.slave.get()), false).get(), target.get());
  });
}

void attach_terminal(const Terminal& terminal) {
  check(ioctl(terminal.slave.get(), TIOCSCTTY, 0), "TIOCSCTTY");
  for (int fd = 0; fd < 3; ++fd) check(dup2(terminal.slave.get(), fd), "dup2");
}

}  // namespace husk
