// husk-shim ID [PROCESS]: stands on the host for one process in the guest. Its pid is the one in the pid file; it passes
// the signals it gets on, and ends the way the process ended. One per process, so: no heap, no threads, no libraries.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "vm/sandbox/shim_protocol.h"

using husk::vm::kShimSocketFd;
using husk::vm::ShimMessage;
using husk::vm::ShimMessageType;

namespace {

// Gives the terminal up before ending: the end of a session's leader with a terminal hangs it up and throws away output
// that the engine has not read yet.
void leave_terminal() {
  int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (tty >= 0) ioctl(tty, TIOCNOTTY);
}

[[noreturn]] void die_of(int signal) {
  // Nobody dies of these, but a guest may say so, and we would stop for ever.
  if (signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU) _exit(128 + signal);
  rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);  // the core, if any, is the guest's
  prctl(PR_SET_DUMPABLE, 0);
  struct sigaction dfl {};
  dfl.sa_handler = SIG_DFL;
  sigaction(signal, &dfl, nullptr);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  kill(getpid(), signal);
  _exit(128 + signal);  // a signal whose default is to be ignored
}

[[noreturn]] void end_as(const ShimMessage& exited) {
  leave_terminal();
  if (exited.signal != 0) die_of(exited.signal);
  _exit(exited.value);
}

void pass_on(const signalfd_siginfo& info) {
  int signal = static_cast<int>(info.ssi_signo);
  if (signal == SIGCHLD) return;
  ShimMessage message{ShimMessageType::kSignal, signal, 0};
  if (signal == SIGWINCH) message.type = ShimMessageType::kResized;
  (void)!send(kShimSocketFd, &message, sizeof message, MSG_NOSIGNAL);
}

}  // namespace

int main() {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  int signals = signalfd(-1, &all, SFD_CLOEXEC);
  if (signals < 0) return 255;
  pollfd fds[2] = {{kShimSocketFd, POLLIN, 0}, {signals, POLLIN, 0}};
  for (;;) {
    if (poll(fds, 2, -1) < 0) {  // no deadline: it lives as long as its process
      if (errno == EINTR) continue;
      return 255;
    }
    if (fds[1].revents & POLLIN) {
      signalfd_siginfo info;
      if (read(signals, &info, sizeof info) == sizeof info) pass_on(info);
    }
    if (fds[0].revents) {
      ShimMessage message{};
      ssize_t n = recv(kShimSocketFd, &message, sizeof message, 0);
      if (n == sizeof message && message.type == ShimMessageType::kExited) end_as(message);
      // husk-sandbox is gone, and the VM with it: as if the process had been killed.
      if (n <= 0) end_as({ShimMessageType::kExited, 0, SIGKILL});
    }
  }
}
