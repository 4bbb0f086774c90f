#include "vm/sandbox/user_namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <sstream>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/process.h"
#include "libcontainer/container/store.h"
#include "libcontainer/linux/namespaces.h"
#include "libcontainer/linux/user.h"

namespace husk::vm {
namespace {

using Maps = std::vector<spec::IdMapping>;

// newuidmap(1), newgidmap(1): the kernel lets who is not root map one id, his own; they map what subuid(5)
// gives.
std::vector<std::string> mapper(const char* program, const Maps& maps) {
  std::vector<std::string> argv = {program, std::to_string(getpid())};
  for (const spec::IdMapping& map : maps)
    for (const uint32_t number : {map.container_id, map.host_id, map.size})
      argv.push_back(std::to_string(number));
  return argv;
}

// Forked before the namespace is made, it runs the program outside of it once `go` ends. A process with one
// thread.
Child fork_mapper(const std::vector<std::string>& argv, int go, int go_writer) {
  const pid_t pid = fork();
  check(pid, "fork");
  if (pid != 0) return {pid, open_pidfd(pid)};
  close(go_writer);
  char byte;
  while (read(go, &byte, 1) < 0 && errno == EINTR) {
  }
  // What it says is not our one line.
  if (const int null = open("/dev/null", O_WRONLY); null >= 0) dup2(null, STDERR_FILENO);
  std::vector<char*> words;
  words.reserve(argv.size() + 1);
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  execvp(words[0], words.data());
  _exit(127);
}

void wait_mapper(Child& child, const std::string& program, const char* file) {
  const ExitStatus end = with_context(program, [&] { return wait_child(child, deadline::kIdMapper); });
  child.pid = -1;  // reaped
  if (end.code == 127) throw Error(ErrorKind::kUnsupported, program + " is not installed (package uidmap)");
  if (end.code != 0 || end.signal != 0)
    throw Error(ErrorKind::kUnsupported, program + " refused the config's mappings: see " + file);
}

bool is_own_only(const Maps& maps, uint32_t id) {
  return maps.size() == 1 && maps[0].size == 1 && maps[0].host_id == id;
}

void fill_up(Maps& maps, const char* file, uint32_t own, uid_t uid) {
  if (is_own_only(maps, own) && path_exists(file)) append_sub_ids(maps, read_file(file), user_name(uid), uid);
}

void make_namespace(const Maps& uids, const Maps& gids) {
  const uid_t uid = geteuid();
  const gid_t gid = getegid();
  if (is_own_only(uids, uid) && is_own_only(gids, gid)) {
    check(unshare(CLONE_NEWUSER), "making a user namespace");
    return write_id_maps(getpid(), uids, gids);
  }
  auto [go, go_writer] = make_pipe();
  Child for_uids, for_gids;
  try {
    for_uids = fork_mapper(mapper("newuidmap", uids), go.get(), go_writer.get());
    for_gids = fork_mapper(mapper("newgidmap", gids), go.get(), go_writer.get());
    check(unshare(CLONE_NEWUSER), "making a user namespace");
    go_writer.reset();
    wait_mapper(for_uids, "newuidmap", "/etc/subuid");
    wait_mapper(for_gids, "newgidmap", "/etc/subgid");
  } catch (...) {
    kill_and_reap(for_uids);
    kill_and_reap(for_gids);
    throw;
  }
}

}  // namespace

void append_sub_ids(Maps& maps, std::string_view text, const std::string& name, uid_t uid) {
  uint32_t next = 0;
  for (const spec::IdMapping& map : maps) next = std::max(next, map.container_id + map.size);
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    const std::string user = line.substr(0, colon);
    unsigned first = 0, count = 0;
    if (colon == line.npos || (user != name && user != std::to_string(uid)) ||
        sscanf(line.c_str() + colon, ":%u:%u", &first, &count) != 2 || count == 0)
      continue;
    maps.push_back({next, first, count});
    next += count;
  }
}

void enter_user_namespace(spec::Config& config) {
  with_context("without root", [&] {
    if (!config.linux_ || !config.linux_->find_namespace(spec::NamespaceType::kUser))
      throw Error(ErrorKind::kUnsupported,
                  "the config has to have a user namespace (as husk spec --rootless makes it)");
    Maps &uids = config.linux_->uid_mappings, &gids = config.linux_->gid_mappings;
    fill_up(uids, "/etc/subuid", geteuid(), geteuid());
    fill_up(gids, "/etc/subgid", getegid(), geteuid());
    make_namespace(uids, gids);
    become_namespace_root();
    check(unshare(CLONE_NEWNS), "making a mount namespace");
    uids.clear();
    gids.clear();
    std::erase_if(config.linux_->namespaces,
                  [](const spec::Namespace& ns) { return ns.type == spec::NamespaceType::kUser; });
  });
}

void join_user_namespace(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid) + "/ns/";
  const UniqueFd user = open_file(folder + "user", O_RDONLY);
  check(setns(user.get(), CLONE_NEWUSER), "joining the container's user namespace");
  become_namespace_root();
}

}  // namespace husk::vm
