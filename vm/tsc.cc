// The host's TSC frequency, as the kernel knows it.
#include <linux/perf_event.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <x86intrin.h>

#include <cstring>

#include "vm/machine.h"

namespace husk::vm {
namespace {

// The page of any perf event tells how user space turns TSC ticks into nanoseconds (perf_event_open(2),
// cap_user_time).
unsigned long from_perf() {
  perf_event_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.size = sizeof attr;
  attr.type = PERF_TYPE_SOFTWARE;
  attr.config = PERF_COUNT_SW_DUMMY;
  attr.exclude_kernel = 1;
  UniqueFd fd(static_cast<int>(syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC)));
  if (!fd) return 0;
  auto size = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* mapped = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
  if (mapped == MAP_FAILED) return 0;
  const auto* page = static_cast<const perf_event_mmap_page*>(mapped);
  unsigned long khz = 0;
  if (page->cap_user_time && page->time_mult && page->time_shift < 44)
    khz = static_cast<unsigned long>((1000000ULL << page->time_shift) / page->time_mult);
  munmap(mapped, size);
  return khz;
}

unsigned long long nanoseconds() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC_RAW, &t);
  return static_cast<unsigned long long>(t.tv_sec) * 1000000000ULL +
         static_cast<unsigned long long>(t.tv_nsec);
}

struct Moment {
  unsigned long long ns = 0, ticks = 0;
};

// Both clocks at one moment: of a few tries the one in which nothing came between.
Moment now() {
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

// 5 ms are good for 10 ppm.
unsigned long measured() {
  Moment start = now();
  timespec pause{0, 5000000};
  nanosleep(&pause, nullptr);
  Moment end = now();
  return static_cast<unsigned long>((end.ticks - start.ticks) * 1000000 / (end.ns - start.ns));
}

}  // namespace

unsigned long host_tsc_khz() {
  unsigned long khz = from_perf();
  return khz ? khz : measured();
}

}  // namespace husk::vm
