#include "libcontainer/base/root.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

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

constexpr int kMaxLinks = 40;  // the kernel's own bound

// What is in the way at that name of dir is a symlink to nothing: the path that it means. Else empty.
std::string beyond_link(int dir, const std::string& path) {
  char target[PATH_MAX];
  const ssize_t n = readlinkat(dir, base_name(path).c_str(), target, sizeof target);
  if (n <= 0) return "";
  const std::string to(target, static_cast<size_t>(n));
  return to[0] == '/' ? to : path_join(dir_name(path), to);
}

UniqueFd make_below(const Root& root, const std::string& path, mode_t mode, int links) {
  UniqueFd dir(open_in_root(root.fd(), path.empty() ? "/" : path, O_PATH | O_DIRECTORY, 0));
  if (dir) return dir;
  if (errno != ENOENT) throw_errno("open " + path + " in " + root.path());
  const std::string whole = clean_path(path);
  UniqueFd parent = make_below(root, dir_name(whole), mode, links);
  if (mkdirat(parent.get(), base_name(whole).c_str(), mode) != 0) {
    if (errno != EEXIST) throw_errno("mkdir " + path + " in " + root.path());
    const std::string beyond = beyond_link(parent.get(), whole);
    if (!beyond.empty() && links > 0) return make_below(root, beyond, mode, links - 1);
  }
  return root.open(whole, O_PATH | O_DIRECTORY);
}

UniqueFd make_file_below(const Root& root, const std::string& path, mode_t mode, int links) {
  UniqueFd file(open_in_root(root.fd(), path, O_PATH, 0));
  if (file) return file;
  if (errno != ENOENT) throw_errno("open " + path + " in " + root.path());
  const std::string whole = clean_path(path);
  UniqueFd parent = make_below(root, dir_name(whole), 0755, kMaxLinks);
  UniqueFd made(openat(parent.get(), base_name(whole).c_str(),
                       O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!made) {
    if (errno != EEXIST) throw_errno("create " + path + " in " + root.path());
    const std::string beyond = beyond_link(parent.get(), whole);
    if (!beyond.empty() && links > 0) return make_file_below(root, beyond, mode, links - 1);
  }
  return root.open(whole, O_PATH);
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
  return make_below(*this, path, mode, kMaxLinks);
}

UniqueFd Root::make_file(const std::string& path, mode_t mode) const {
  return make_file_below(*this, path, mode, kMaxLinks);
}

std::string fd_path(int fd) {
  return "/proc/self/fd/" + std::to_string(fd);
}

}  // namespace husk
