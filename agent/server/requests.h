// What is asked for in frames (agent.proto's Request): checks what came, calls agent/guest, packs the answer.
#pragma once

#include "agent.pb.h"
#include "agent/guest/guest.h"
#include "libcontainer/base/error.h"

namespace husk {

// Of anything but create and exec. Does not throw: an error is an answer, too.
agent::Reply answer(guest::Guest& guest, const agent::Request& request);

agent::Reply error_reply(const Error& error);

}  // namespace husk
