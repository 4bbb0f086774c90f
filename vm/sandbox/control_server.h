// husk-sandbox's main loop: the control socket, the creator's connection, the guest's console, and the end of
// QEMU.
#pragma once

#include "libcontainer/base/fd.h"
#include "vm/sandbox/control.h"

namespace husk::vm {

// Serves until the VM is over; returns the exit code. creator: the connection whose first message was `boot`.
int serve_sandbox(UniqueFd creator, UniqueFd listener, BootRequest boot);

}  // namespace husk::vm
