// Where a sandbox lives on disk: ROOT/.vm/NAME, with its control socket. Not in a container's folder, because
// a VM may outlive the container that it was made for.
#pragma once

#include <functional>
#include <string>

#include "libcontainer/base/fd.h"

namespace husk::vm {

struct SandboxFolder {
  std::string path;
  UniqueFd listener;  // a new sandbox: its control socket, listening before husk-sandbox runs
  UniqueFd control;   // or a living one to join: a connection to it
};

// A new folder for a sandbox named after a container; or, with join, that of the living sandbox of this name,
// a new one where there is none. Of many at once one makes it and the others join. before_making is told the
// path of a new one, to note it on disk: what is there of it from then on is the caller's to remove, however
// this ends. from: the folder of a sandbox that listens there already, which is moved; then there is no
// listener. Throws.
SandboxFolder claim_sandbox_folder(const std::string& root, const std::string& name, bool join,
                                   const std::function<void(const std::string& path)>& before_making,
                                   const std::string& from = "");
// Who takes a container out of a sandbox holds this until it can be no heir of the VM's processes any more.
// Nothing where the folder is gone. Throws kTimeout (deadline::kLeaveSandbox).
UniqueFd lock_sandbox_folder(const std::string& path);
// When no husk-sandbox lives there any more: what one that was killed has left. Gone already is fine.
void remove_sandbox_folder(const std::string& path);

}  // namespace husk::vm
