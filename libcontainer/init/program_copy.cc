#include "libcontainer/init/program_copy.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include <cerrno>
#include <compare>
#include <map>
#include <mutex>

#include "libcontainer/base/error.h"

namespace husk {
namespace {

struct Key {
  dev_t dev;
  ino_t ino;
  time_t seconds;
  long nanoseconds;
  auto operator<=>(const Key&) const = default;  // NOLINT(modernize-use-nullptr): clang-tidy 14's mistake
};

UniqueFd copy_sealed(int from, off_t size) {
  UniqueFd fd(check(memfd_create("husk-init", MFD_CLOEXEC | MFD_ALLOW_SEALING), "memfd_create"));
  while (size > 0) {
    ssize_t n = check(sendfile(fd.get(), from, nullptr, static_cast<size_t>(size)), "copying husk-init");
    if (n == 0) throw_errno("copying husk-init", EIO);
    size -= n;
  }
  check(fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE),
        "sealing husk-init");
  // A file open for writing cannot be executed.
  return open_file("/proc/self/fd/" + std::to_string(fd.get()), O_RDONLY);
}

}  // namespace

UniqueFd open_program_copy(const std::string& program, int least) {
  static std::mutex mutex;
  static std::map<Key, UniqueFd> copies;
  UniqueFd file = open_file(program, O_RDONLY);
  struct stat st;
  check(fstat(file.get(), &st), "stat " + program);
  std::lock_guard lock(mutex);
  UniqueFd& copy = copies[Key{st.st_dev, st.st_ino, st.st_mtim.tv_sec, st.st_mtim.tv_nsec}];
  if (!copy) copy = copy_sealed(file.get(), st.st_size);
  return UniqueFd(check(fcntl(copy.get(), F_DUPFD_CLOEXEC, least), "dup of husk-init's copy"));
}

}  // namespace husk
