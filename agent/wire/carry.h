// One connection in a channel: the same on both sides of the wire.
#pragma once

#include "agent/wire/channel.h"
#include "libcontainer/base/fd.h"

namespace husk::wire {

// Carries bytes between the connected socket and the channel, both ways, with a half-close on one side as a
// half-close on the other, and returns when that is over: then the session's owner says so. True: in order.
// Else one side has broken, or channel.close() was called, from any thread, and the socket is reset. Memory:
// one chunk, and the channel's window. Throws when there is no thread or no memory; the socket is reset then.
bool carry(UniqueFd socket, Channel& channel);

}  // namespace husk::wire
