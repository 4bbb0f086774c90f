// Walking paths below a root that somebody else controls (a container's rootfs): no symlink, no "..", no
// magic link leads out. Everything goes through openat2(2) with RESOLVE_IN_ROOT.
#pragma once

#include <sys/types.h>

#include <string>

#include "libcontainer/base/fd.h"

namespace husk {

class Root {
 public:
  // Opens the folder with O_PATH. Throws.
  explicit Root(const std::string& path);

  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }

  // Opens path below the root; symlinks are followed inside it. flags as open(2) (O_PATH, O_CREAT, …).
  UniqueFd open(const std::string& path, int flags, mode_t mode = 0) const;
  bool exists(const std::string& path) const;
  // mkdir -p below the root, symlinks followed inside it, also those to nothing yet. Returns the folder,
  // O_PATH.
  UniqueFd make_dirs(const std::string& path, mode_t mode = 0755) const;
  // Makes the missing parents and an empty file where there is nothing yet, the same way. Returns it, O_PATH.
  UniqueFd make_file(const std::string& path, mode_t mode = 0644) const;

 private:
  UniqueFd fd_;
  std::string path_;
};

// "/proc/self/fd/N": the way to name an O_PATH fd to a system call that takes only a path.
std::string fd_path(int fd);

}  // namespace husk
