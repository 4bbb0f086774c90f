#include "libcontainer/base/lock.h"

#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "libcontainer/base/error.h"

namespace husk {

bool lock_exclusively(int fd, std::chrono::seconds timeout) {
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
  struct sigaction interrupt {
  }, before{};
  interrupt.sa_handler = [](int) {};
  sigaction(SIGALRM, &interrupt, &before);
  sigset_t alarm_only, mask_before;
  sigemptyset(&alarm_only);
  sigaddset(&alarm_only, SIGALRM);
  sigprocmask(SIG_UNBLOCK, &alarm_only, &mask_before);  // `run` blocks all signals
  alarm(static_cast<unsigned>(timeout.count()));
  const int result = flock(fd, LOCK_EX);
  const int err = errno;
  alarm(0);
  sigprocmask(SIG_SETMASK, &mask_before, nullptr);
  sigaction(SIGALRM, &before, nullptr);
  if (result != 0 && err != EINTR) throw_errno("lock", err);
  return result == 0;
}

}  // namespace husk
