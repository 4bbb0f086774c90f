#include "agent/guest/clock.h"

#include <fcntl.h>
#include <linux/random.h>
#include <sys/ioctl.h>
#include <time.h>

#include <cstring>
#include <vector>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"

namespace husk::guest {

void set_clock(int64_t realtime_ns) {
  timespec time{realtime_ns / 1'000'000'000, realtime_ns % 1'000'000'000};
  check(clock_settime(CLOCK_REALTIME, &time), "clock_settime");
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
