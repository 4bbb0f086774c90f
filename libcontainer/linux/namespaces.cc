#include "libcontainer/linux/namespaces.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

namespace husk {
namespace {

using spec::NamespaceType;

struct Row {
  NamespaceType type;
  int flag;
  const char* file;
};

constexpr Row kRows[] = {
    {NamespaceType::kPid, CLONE_NEWPID, "pid"},          {NamespaceType::kNetwork, CLONE_NEWNET, "net"},
    {NamespaceType::kMount, CLONE_NEWNS, "mnt"},         {NamespaceType::kIpc, CLONE_NEWIPC, "ipc"},
    {NamespaceType::kUts, CLONE_NEWUTS, "uts"},          {NamespaceType::kUser, CLONE_NEWUSER, "user"},
    {NamespaceType::kCgroup, CLONE_NEWCGROUP, "cgroup"}, {NamespaceType::kTime, CLONE_NEWTIME, "time"},
};

const Row& row(NamespaceType type) {
  for (const Row& r : kRows)
    if (r.type == type) return r;
  throw Error(ErrorKind::kInternal, "unknown namespace type");
}

std::string map_text(const std::vector<spec::IdMapping>& maps) {
  std::string text;
  for (const spec::IdMapping& m : maps)
    text += std::to_string(m.container_id) + ' ' + std::to_string(m.host_id) + ' ' + std::to_string(m.size) +
            '\n';
  return text;
}

void join(const NamespaceFd& ns) {
  if (setns(ns.fd.get(), namespace_flag(ns.type)) != 0)
    throw_errno(std::string("joining the ") + namespace_file(ns.type) + " namespace");
}

bool same_user_namespace(int fd) {
  struct stat mine, other;
  return stat("/proc/self/ns/user", &mine) == 0 && fstat(fd, &other) == 0 && mine.st_ino == other.st_ino &&
         mine.st_dev == other.st_dev;
}

}  // namespace

int namespace_flag(NamespaceType type) {
  return row(type).flag;
}
const char* namespace_file(NamespaceType type) {
  return row(type).file;
}

int new_namespace_flags(const std::vector<spec::Namespace>& namespaces) {
  int flags = 0;
  for (const spec::Namespace& ns : namespaces)
    if (ns.path.empty()) flags |= namespace_flag(ns.type);
  return flags;
}

std::vector<NamespaceFd> open_namespaces(const std::vector<spec::Namespace>& namespaces) {
  std::vector<NamespaceFd> out;
  for (const spec::Namespace& ns : namespaces)
    if (!ns.path.empty()) out.push_back({ns.type, open_file(ns.path, O_RDONLY)});
  return out;
}

void join_namespaces(const std::vector<NamespaceFd>& fds) {
  const NamespaceFd* user = nullptr;
  for (const NamespaceFd& ns : fds)
    if (ns.type == NamespaceType::kUser && !same_user_namespace(ns.fd.get())) user = &ns;
  std::vector<const NamespaceFd*> later;
  for (const NamespaceFd& ns : fds) {
    if (ns.type == NamespaceType::kUser) continue;
    try {
      join(ns);
    } catch (const Error& e) {
      if (!user || e.errnum() != EPERM) throw;
      later.push_back(&ns);
    }
  }
  if (user) join(*user);
  for (const NamespaceFd* ns : later) join(*ns);
}

void join_process(int pidfd, int flags) {
  if (flags && setns(pidfd, flags) != 0) throw_errno("joining the container's namespaces");
}

void write_id_maps(pid_t pid, const std::vector<spec::IdMapping>& uids,
                   const std::vector<spec::IdMapping>& gids) {
  std::string proc = "/proc/" + std::to_string(pid);
  if (!uids.empty()) write_file(proc + "/uid_map", map_text(uids));
  if (gids.empty()) return;
  try {
    write_file(proc + "/gid_map", map_text(gids));
  } catch (const Error& e) {
    // Without CAP_SETGID over the parent namespace the kernel wants setgroups(2) given up first
    // (user_namespaces(7)).
    if (e.errnum() != EPERM) throw;
    write_file(proc + "/setgroups", "deny");
    write_file(proc + "/gid_map", map_text(gids));
  }
}

void make_time_namespace(const std::map<std::string, spec::TimeOffset>& offsets) {
  check(unshare(CLONE_NEWTIME), "making a time namespace");
  std::string text;
  for (const auto& [clock, offset] : offsets)
    text += clock + ' ' + std::to_string(offset.secs) + ' ' + std::to_string(offset.nanosecs) + '\n';
  if (!text.empty()) write_file("/proc/self/timens_offsets", text);
}

UniqueFd make_user_namespace(const std::vector<spec::IdMapping>& uids,
                             const std::vector<spec::IdMapping>& gids) {
  // A namespace exists as long as somebody refers to it: a helper lives in it until we hold its file.
  pid_t pid =
      static_cast<pid_t>(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  check(pid, "making a user namespace");
  if (pid == 0) {
    for (;;) pause();
  }
  UniqueFd fd;
  auto end = [&] {
    kill(pid, SIGKILL);
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  };
  try {
    write_id_maps(pid, uids, gids);
    fd = open_file("/proc/" + std::to_string(pid) + "/ns/user", O_RDONLY);
  } catch (...) {
    end();
    throw;
  }
  end();
  return fd;
}

}  // namespace husk
