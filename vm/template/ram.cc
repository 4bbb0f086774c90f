#include "vm/template/ram.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "libcontainer/base/error.h"

namespace husk::vm {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kChunk = 1u << 20;

bool is_zero(const char* page) {
  return page[0] == 0 && memcmp(page, page + 1, kPage - 1) == 0;
}

void write_at(int fd, const char* data, size_t size, off_t offset) {
  while (size > 0) {
    ssize_t n = pwrite(fd, data, size, offset);
    if (n < 0 && errno == EINTR) continue;
    check(n, "writing a VM's memory");
    data += n;
    size -= static_cast<size_t>(n);
    offset += n;
  }
}

// Runs of pages that are not zero, each in one write.
void write_pages(int fd, const char* data, size_t size, off_t offset) {
  for (size_t at = 0; at < size;) {
    size_t end = at;
    while (end < size && !is_zero(data + end)) end += kPage;
    if (end > at) write_at(fd, data + at, end - at, offset + static_cast<off_t>(at));
    at = end + kPage;
  }
}

struct Unmap {
  size_t size;
  void operator()(void* map) const { munmap(map, size); }
};

template <typename F>
void each_extent(int fd, F&& f) {
  for (off_t begin, end = 0;;) {
    begin = lseek(fd, end, SEEK_DATA);
    if (begin < 0 && errno == ENXIO) return;
    check(begin, "finding a VM's memory");
    end = check(lseek(fd, begin, SEEK_HOLE), "finding a VM's memory");
    f(begin, end);
  }
}

}  // namespace

UniqueFd make_ram(uint64_t bytes) {
  UniqueFd fd(check(memfd_create("husk-ram", MFD_CLOEXEC), "memfd_create"));
  check(ftruncate(fd.get(), static_cast<off_t>(bytes)), "sizing a VM's memory");
  return fd;
}

uint64_t ram_bytes(int fd) {
  uint64_t sum = 0;
  each_extent(fd, [&](off_t begin, off_t end) { sum += static_cast<uint64_t>(end - begin); });
  return sum;
}

void save_ram(int from, int to) {
  std::vector<char> chunk(kChunk);
  each_extent(from, [&](off_t begin, off_t end) {
    for (off_t at = begin; at < end;) {
      size_t want = std::min<size_t>(kChunk, static_cast<size_t>(end - at));
      ssize_t n = pread(from, chunk.data(), want, at);
      if (n < 0 && errno == EINTR) continue;
      check(n, "reading a VM's memory");
      if (n == 0) throw_errno("reading a VM's memory", EIO);
      write_pages(to, chunk.data(), static_cast<size_t>(n), at);
      at += n;
    }
  });
}

// Only the kernel reads the mapping, to which a file that was cut off is EFAULT and no signal.
void copy_ram(int from, int to) {
  each_extent(from, [&](off_t begin, off_t end) {
    const auto size = static_cast<size_t>(end - begin);
    void* map = mmap(nullptr, size, PROT_READ, MAP_SHARED, from, begin);
    if (map == MAP_FAILED) throw_errno("mapping a VM's memory");
    const std::unique_ptr<void, Unmap> unmap(map, Unmap{size});
    write_at(to, static_cast<const char*>(map), size, begin);
  });
}

}  // namespace husk::vm
