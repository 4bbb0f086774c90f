#include "vm/sandbox/sandbox_folder.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/lock.h"
#include "vm/sandbox/control.h"

namespace husk::vm {
namespace {

void make_or_move(const std::string& path, const std::string& from) {
  if (from.empty())
    check(mkdir(path.c_str(), 0700), "mkdir " + path);
  else
    check(renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE), "rename to " + path);
}

}  // namespace

SandboxFolder claim_sandbox_folder(const std::string& root, const std::string& name, bool join,
                                   const std::function<void(const std::string&)>& before_making,
                                   const std::string& from) {
  const std::string all = path_join(root, ".vm");
  make_dirs(all, 0700);
  // Nobody else makes a folder meanwhile, and whoever finds one finds a socket in it.
  UniqueFd lock = open_file(all, O_RDONLY | O_DIRECTORY);
  if (!lock_exclusively(lock.get(), deadline::kSandboxFolders))
    throw Error(ErrorKind::kTimeout, all + " is busy with another create", ETIMEDOUT);
  SandboxFolder folder;
  for (unsigned i = 0;; ++i) {
    // The name may still be that of a sandbox which is ending, or lives on for others.
    folder.path = path_join(all, i ? name + "." + std::to_string(i) : name);
    if (!path_exists(folder.path)) break;
    if (join && connect_control(folder.path, folder.control)) return folder;
  }
  before_making(folder.path);
  make_or_move(folder.path, from);
  if (!from.empty()) return folder;
  UniqueFd dir = open_file(folder.path, O_PATH | O_DIRECTORY);
  folder.listener = listen_at(dir.get(), kControlSocket, SOCK_SEQPACKET);
  return folder;
}

UniqueFd lock_sandbox_folder(const std::string& path) {
  UniqueFd folder(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder && errno == ENOENT) return {};
  check(folder.get(), "open " + path);
  if (!lock_exclusively(folder.get(), deadline::kLeaveSandbox))
    throw Error(ErrorKind::kTimeout, path + " is busy with another delete", ETIMEDOUT);
  return folder;
}

void remove_sandbox_folder(const std::string& path) {
  if (!path.empty()) remove_tree(path);
}

}  // namespace husk::vm
