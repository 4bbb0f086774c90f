// What the host opens channels for (agent.proto's listen and carry).
#pragma once

#include "agent.pb.h"
#include "agent/guest/guest.h"
#include "agent/wire/channel.h"

namespace husk {

// Returns when the channel is over. Throws what stood in the way.
void serve_channel(guest::Guest& guest, const agent::Request& request, wire::Channel& channel);

}  // namespace husk
