#include "vm/sandbox/sandbox_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cerrno>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "vm/sandbox/control.h"

namespace husk::vm {

SandboxFolder claim_sandbox_folder(const std::string& root, const std::string& name, bool join) {
  const std::string all = path_join(root, ".vm");
  make_dirs(all, 0700);
  // Held for a mkdir and a listen only: whoever finds a folder finds a socket in it.
  UniqueFd lock = open_file(all, O_RDONLY | O_DIRECTORY);
  check(flock(lock.get(), LOCK_EX), "lock " + all);
  SandboxFolder folder;
  for (unsigned i = 0;; ++i) {
    // The name may still be that of a sandbox which is ending, or lives on for others.
    folder.path = path_join(all, i ? name + "." + std::to_string(i) : name);
    if (mkdir(folder.path.c_str(), 0700) == 0) break;
    if (errno != EEXIST) throw_errno("mkdir " + folder.path);
    if (join && connect_control(folder.path, folder.control)) return folder;
  }
  UniqueFd dir = open_file(folder.path, O_PATH | O_DIRECTORY);
  folder.listener = listen_at(dir.get(), kControlSocket, SOCK_SEQPACKET);
  return folder;
}

void remove_sandbox_folder(const std::string& path) {
  if (!path.empty()) remove_tree(path);
}

}  // namespace husk::vm
