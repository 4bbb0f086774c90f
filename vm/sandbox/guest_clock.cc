#include "vm/sandbox/guest_clock.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"

namespace husk::vm {

GuestClock::GuestClock(AgentClient& agent)
    : agent_(agent),
      timer_(check(timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd_create")),
      stop_(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {}

void GuestClock::follow() noexcept {
  try {
    for (;;) {
      itimerspec next{};
      check(clock_gettime(CLOCK_REALTIME, &next.it_value), "clock_gettime");
      next.it_value.tv_sec += deadline::kClockFollows.count();
      check(timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &next, nullptr),
            "timerfd_settime");
      pollfd fds[] = {{timer_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      if (poll(fds, std::size(fds), -1) < 0 && errno != EINTR) throw_errno("poll");
      if (fds[1].revents) return;
      if (fds[0].revents) agent_.follow_clock();
    }
  } catch (const std::exception& e) {
    spdlog::debug("the guest's clock: {}", e.what());
  }
}

void GuestClock::stop() noexcept {
  uint64_t one = 1;
  (void)!write(stop_.get(), &one, sizeof one);
}

}  // namespace husk::vm
