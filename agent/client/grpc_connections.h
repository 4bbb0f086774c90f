// ListenStream and CarryStream over the RPCs Listen and Carry.
#pragma once

#include <memory>

#include "agent.grpc.pb.h"
#include "agent/client/connections.h"

namespace husk {

// Returns once the guest listens, within deadline::kAgentCall. Throws.
std::unique_ptr<ListenStream> listen_over_grpc(agent::Agent::Stub& stub, const agent::ListenRequest& where);
std::unique_ptr<CarryStream> carry_over_grpc(agent::Agent::Stub& stub, uint64_t connection);

}  // namespace husk
