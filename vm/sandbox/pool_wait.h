// A VM of the pool (vm/pool): what husk-sandbox does until a container takes it.
#pragma once

#include "libcontainer/base/fd.h"
#include "vm/sandbox/control.h"
#include "vm/sandbox/sandbox.h"

namespace husk::vm {

// Tells `husk pool`, at the other end of creator, that the VM is ready, and waits. True: a create has it;
// creator is the connection to that one's husk, and sandbox and boot are its container's. False: it has to
// end. From the main thread. Throws when the VM did not come up.
bool wait_in_pool(Sandbox& sandbox, UniqueFd& creator, int listener, int signals, BootRequest& boot);

}  // namespace husk::vm
