#include "libcontainer/linux/user.h"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/file.h"
#include "libcontainer/linux/text.h"

namespace husk {

void give_stdio(uid_t uid) {
  for (int fd = 0; fd < 3; ++fd) {
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_uid == uid) continue;
    if (S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) continue;  // everybody's /dev/null
    (void)!fchown(fd, uid, static_cast<gid_t>(-1));
  }
}

void apply_user(const spec::User& user) {
  std::vector<gid_t> groups(user.additional_gids.begin(), user.additional_gids.end());
  if (setgroups(groups.size(), groups.data()) != 0) {
    // A user namespace that gave up setgroups(2): nothing to be done where nothing was asked for.
    if (errno != EPERM || !groups.empty()) throw_errno("setgroups");
  }
  check(setresgid(user.gid, user.gid, user.gid), "setgid " + std::to_string(user.gid));
  check(setresuid(user.uid, user.uid, user.uid), "setuid " + std::to_string(user.uid));
  umask(user.umask.value_or(0022));
}

void become_namespace_root() {
  (void)!setgroups(0, nullptr);
  // A namespace without a root has users all the same; EINVAL then.
  if (setresgid(0, 0, 0) != 0 && errno != EINVAL) throw_errno("becoming group 0 of the user namespace");
  if (setresuid(0, 0, 0) != 0 && errno != EINVAL) throw_errno("becoming root of the user namespace");
}

std::string home_of(uid_t uid) {
  UniqueFd fd(open("/etc/passwd", O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat st;
  if (!fd || fstat(fd.get(), &st) != 0 || !S_ISREG(st.st_mode)) return "/";
  std::string text;
  try {
    text = read_all(fd.get(), kMaxSmallFile, "/etc/passwd");
  } catch (const Error&) {
    return "/";
  }
  return home_in(text, uid);
}

std::string home_in(std::string_view passwd, uid_t uid) {
  std::string wanted = std::to_string(uid);
  for (std::string_view line : split(passwd, '\n')) {
    std::vector<std::string_view> fields = split(line, ':');  // name, password, uid, gid, gecos, home, shell
    if (fields.size() >= 6 && fields[2] == wanted && !fields[5].empty()) return std::string(fields[5]);
  }
  return "/";
}

}  // namespace husk
