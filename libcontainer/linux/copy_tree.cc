#include "libcontainer/linux/copy_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"

namespace husk {
namespace {

void copy_file(int from, int to, const std::string& name, mode_t mode) {
  UniqueFd in = open_at(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  UniqueFd out = open_at(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode & 07777);
  while (check(sendfile(out.get(), in.get(), nullptr, 1u << 30), "copying " + name) > 0) {
  }
}

void copy_entry(int from, int to, const std::string& name) {
  struct stat st;
  check(fstatat(from, name.c_str(), &st, AT_SYMLINK_NOFOLLOW), "stat " + name);
  if (S_ISDIR(st.st_mode)) {
    check(mkdirat(to, name.c_str(), 0700), "mkdir " + name);
    copy_tree(open_at(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).get(),
              open_at(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW).get());
  } else if (S_ISLNK(st.st_mode)) {
    char target[PATH_MAX];
    ssize_t n = check(readlinkat(from, name.c_str(), target, sizeof target - 1), "readlink " + name);
    target[n] = 0;
    check(symlinkat(target, to, name.c_str()), "symlink " + name);
  } else if (S_ISREG(st.st_mode)) {
    copy_file(from, to, name, st.st_mode);
  } else if (!S_ISSOCK(st.st_mode)) {
    check(mknodat(to, name.c_str(), st.st_mode, st.st_rdev), "mknod " + name);
  } else {
    return;
  }
  check(fchownat(to, name.c_str(), st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW), "chown " + name);
  if (!S_ISLNK(st.st_mode)) check(fchmodat(to, name.c_str(), st.st_mode & 07777, 0), "chmod " + name);
}

}  // namespace

void copy_tree(int from, int to) {
  int own = check(fcntl(from, F_DUPFD_CLOEXEC, 3), "dup");
  std::unique_ptr<DIR, int (*)(DIR*)> dir(fdopendir(own), closedir);
  if (!dir) {
    close(own);
    throw_errno("fdopendir");
  }
  while (dirent* entry = readdir(dir.get())) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") copy_entry(from, to, name);
  }
}

}  // namespace husk
