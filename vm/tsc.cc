// The host's TSC frequency. (perf_event_open(2)'s page tells it exactly, but not in a VM of KVM's, where TCG
// mostly runs; and a first event costs 4 to 15 ms here.)
#include <time.h>
#include <x86intrin.h>

#include "vm/machine.h"

namespace husk::vm {
namespace {

constexpr unsigned long long kBetween = 5'000'000;  // ns: good for 10 ppm

unsigned long long nanoseconds() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC_RAW, &t);
  return static_cast<unsigned long long>(t.tv_sec) * 1'000'000'000 +
         static_cast<unsigned long long>(t.tv_nsec);
}

}  // namespace

// Both clocks at one moment: of a few tries the one in which nothing came between.
TscMeter::Moment TscMeter::now() {
  Moment best;
  unsigned long long smallest = ~0ULL;
  for (int i = 0; i < 8; ++i) {
    unsigned long long before = __rdtsc(), ns = nanoseconds(), after = __rdtsc();
    if (after - before >= smallest) continue;
    smallest = after - before;
    best = {ns, before + smallest / 2};
  }
  return best;
}

unsigned long TscMeter::khz() const {
  const unsigned long long passed = nanoseconds() - start_.ns;
  if (passed < kBetween) {
    timespec rest{0, static_cast<long>(kBetween - passed)};
    nanosleep(&rest, nullptr);
  }
  const Moment end = now();
  return static_cast<unsigned long>((end.ticks - start_.ticks) * 1'000'000 / (end.ns - start_.ns));
}

}  // namespace husk::vm
