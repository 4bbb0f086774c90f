#include "agent/guest/clock.h"

#include <fcntl.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <sys/timex.h>
#include <time.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/trace.h"

namespace husk::guest {
namespace {

constexpr int64_t kHeardLate = 50'000'000, kFarOff = 500'000'000;  // ns

}  // namespace

void set_clock(int64_t realtime_ns) {
  timespec time{realtime_ns / 1'000'000'000, realtime_ns % 1'000'000'000};
  check(clock_settime(CLOCK_REALTIME, &time), "clock_settime");
}

void follow_clock(int64_t realtime_ns) {
  const int64_t off = realtime_ns - trace::now();
  if (std::abs(off) < kHeardLate) return;
  if (std::abs(off) > kFarOff) return set_clock(realtime_ns);
  timex slowly{};  // adjtime(3): 0.5 ms a second
  slowly.modes = ADJ_OFFSET_SINGLESHOT;
  slowly.offset = off / 1000;
  check(adjtimex(&slowly), "adjtimex");
}

void add_entropy(std::string_view bytes) {
  if (bytes.empty()) return;
  // random(4), struct rand_pool_info: the count in bits, the size in bytes, the bytes.
  std::vector<int> buffer((sizeof(rand_pool_info) + bytes.size()) / sizeof(int) + 1);
  buffer[0] = static_cast<int>(bytes.size() * 8);
  buffer[1] = static_cast<int>(bytes.size());
  memcpy(&buffer[2], bytes.data(), bytes.size());
  UniqueFd fd = open_file("/dev/urandom", O_WRONLY);
  check(ioctl(fd.get(), RNDADDENTROPY, buffer.data()), "RNDADDENTROPY");
  check(ioctl(fd.get(), RNDRESEEDCRNG), "RNDRESEEDCRNG");
}

}  // namespace husk::guest
