// Which VM a new container gets: one that it joins, one of the pool, or one that is started for it.
#pragma once

#include "libcontainer/base/fd.h"
#include "libcontainer/container/backend.h"
#include "libcontainer/linux/cgroups.h"
#include "vm/sandbox/undo.h"
#include "vm/sandbox/vm_backend.h"

namespace husk::vm {

struct Seat {
  UniqueFd connection;  // to its husk-sandbox, which knows of the container from then on
  bool made_vm = false;
};

// In this order: the VM of a container whose namespace it joins; its pod's; one that waits in the pool; one
// of its own, which boots from then on. cgroup: made here, and given what it holds and its limits. undo:
// written as it goes. Throws.
Seat take_seat(const BackendOptions& options, const Backend::CreateArgs& args, Cgroup& cgroup, Undo& undo);

}  // namespace husk::vm
