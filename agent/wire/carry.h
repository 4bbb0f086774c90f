// One connection in a channel: the same on both sides of the wire.
#pragma once

#include "agent/wire/channel.h"
#include "libcontainer/base/fd.h"

namespace husk::wire {

// Carries bytes between the connected socket and the channel, both ways, with a half-close on one side as a
// half-close on the other, and returns when the channel is over. True: in order. Else one side has broken:
// the socket is reset, and the channel closed. channel.close(), from any thread, breaks it off. Memory: one
// chunk, and the channel's window.
bool carry(UniqueFd socket, Channel& channel);

}  // namespace husk::wire
