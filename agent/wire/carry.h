// One connection as a stream of Data (agent.proto): the same on both sides of the wire.
#pragma once

#include <functional>

#include "agent.pb.h"
#include "libcontainer/base/fd.h"

namespace husk::wire {

// read() is called in one thread at a time, the rest in any.
struct DataStream {
  std::function<bool(agent::Data&)> read;         // false: the stream has ended
  std::function<bool(const agent::Data&)> write;  // false: it has broken, or end() was called
  std::function<void()> end;                      // both ends of file have passed; half-closes, on the host
  std::function<void()> cancel;                   // breaks it
};

// Carries bytes between the connected socket and the stream, both ways, with a half-close on one side as a
// half-close on the other, and returns when the stream has ended. True: in order. Else one side has broken:
// the socket was reset, and the stream, where it still stood, cancelled. stop: an eventfd that breaks it off
// when it is written to; set when this returns. Memory: one chunk each way, and what gRPC has on its way.
bool carry(UniqueFd socket, const DataStream& stream, int stop);

}  // namespace husk::wire
