// husk-shim ID [PROCESS]: stands on the host for one process in the guest. Its pid is the one in the pid
// file; it passes the signals it gets on, and ends the way the process ended. One per process, so: no heap,
// no threads, no libraries. husk-shim --take MIB: vm/sandbox/oom_report.h.
#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "vm/sandbox/shim_protocol.h"

using husk::vm::kShimMountsFd;
using husk::vm::kShimRootFd;
using husk::vm::kShimSocketFd;
using husk::vm::kShimTerminalFd;
using husk::vm::ShimMessage;
using husk::vm::ShimMessageType;

namespace {

// Gives the terminal up before ending: the end of a session's leader with a terminal hangs it up and throws
// away output that the engine has not read yet.
void leave_terminal() {
  ioctl(kShimTerminalFd, TIOCNOTTY);
}

bool is_open(int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}

// The rootfs becomes our root, and nothing else of the host stays in sight. cwd is there.
bool pivot_here() {
  if (syscall(SYS_pivot_root, ".", ".") == 0) return umount2(".", MNT_DETACH) == 0;
  // The host's root is its initramfs, which cannot be pivoted away from.
  return errno == EINVAL && mount(".", "/", nullptr, MS_MOVE, nullptr) == 0 && chroot(".") == 0;
}

bool make_mount_namespace() {
  if (fchdir(kShimRootFd) != 0 || unshare(CLONE_NEWNS) != 0) return false;
  if (mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return false;
  // A mount of its own, as pivot_root wants it.
  unsigned clone = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE;
  int tree = static_cast<int>(syscall(SYS_open_tree, AT_FDCWD, ".", clone));
  return tree >= 0 && syscall(SYS_move_mount, tree, "", AT_FDCWD, ".", MOVE_MOUNT_F_EMPTY_PATH) == 0 &&
         fchdir(tree) == 0 && close(tree) == 0 && pivot_here() && chdir("/") == 0;
}

bool leave_host_mounts() {
  bool done = is_open(kShimMountsFd) ? setns(kShimMountsFd, CLONE_NEWNS) == 0 : make_mount_namespace();
  int err = errno;
  close(kShimRootFd);
  close(kShimMountsFd);
  errno = err;
  return done;
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

// Until it is killed for it. Its limit is lowered first.
int take_memory(size_t mib) {
  char go;
  if (recv(kShimSocketFd, &go, sizeof go, 0) != sizeof go) return 1;
  return mmap(nullptr, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
              0) == MAP_FAILED;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && strcmp(argv[1], "--take") == 0) return take_memory(strtoul(argv[2], nullptr, 10));
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_BLOCK, &all, nullptr);
  // First, while only what we were given is open.
  ShimMessage ready{ShimMessageType::kReady, 0, 0};
  if (!leave_host_mounts()) ready.value = errno ? errno : EINVAL;
  if (send(kShimSocketFd, &ready, sizeof ready, MSG_NOSIGNAL) < 0 || ready.value) return 255;
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
