#include "libcontainer/base/root.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"

namespace husk {
namespace {

// Returns the fd or -1 with errno. EAGAIN (a rename raced with the walk) is tried again a few times.
int open_in_root(int root, const std::string& path, int flags, mode_t mode) {
  open_how how{};
  how.flags = static_cast<__u64>(flags | O_CLOEXEC);
  how.mode = flags & (O_CREAT | O_TMPFILE) ? mode : 0;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  for (int tries = 0;; ++tries) {
    long fd = syscall(SYS_openat2, root, path.c_str(), &how, sizeof how);
    if (fd >= 0 || errno != EAGAIN || tries == 32) return static_cast<int>(fd);
  }
}

}  // namespace

Root::Root(const std::string& path) : fd_(open_file(path, O_PATH | O_DIRECTORY)), path_(path) {}

UniqueFd Root::open(const std::string& path, int flags, mode_t mode) const {
  int fd = open_in_root(fd_.get(), path.empty() ? "/" : path, flags, mode);
  if (fd < 0) throw_errno("open " + path + " in " + path_);
  return UniqueFd(fd);
}

bool Root::exists(const std::string& path) const {
  return static_cast<bool>(UniqueFd(open_in_root(fd_.get(), path.empty() ? "/" : path, O_PATH, 0)));
}

UniqueFd Root::make_dirs(const std::string& path, mode_t mode) const {
  UniqueFd dir(open_in_root(fd_.get(), path.empty() ? "/" : path, O_PATH | O_DIRECTORY, 0));
  if (dir) return dir;
  if (errno != ENOENT) throw_errno("open " + path + " in " + path_);
  std::string whole = clean_path(path);
  UniqueFd parent = make_dirs(dir_name(whole), mode);
  if (mkdirat(parent.get(), base_name(whole).c_str(), mode) != 0 && errno != EEXIST)
    throw_errno("mkdir " + path + " in " + path_);
  return open(whole, O_PATH | O_DIRECTORY);
}

UniqueFd Root::make_file(const std::string& path, mode_t mode) const {
  UniqueFd file(open_in_root(fd_.get(), path, O_PATH, 0));
  if (file) return file;
  if (errno != ENOENT) throw_errno("open " + path + " in " + path_);
  std::string whole = clean_path(path);
  UniqueFd parent = make_dirs(dir_name(whole));
  UniqueFd made(openat(parent.get(), base_name(whole).c_str(),
                       O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!made && errno != EEXIST) throw_errno("create " + path + " in " + path_);
  return open(whole, O_PATH);
}

std::string fd_path(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

}  // namespace husk
