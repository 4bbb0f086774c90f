// AttachStream over the RPC Attach.
#pragma once

#include "agent.grpc.pb.h"
#include "agent/client/agent_client.h"

namespace husk {

// first: what is to be made. Returns after the guest's "attached", within deadline::kAgentCreate.
std::unique_ptr<AttachStream> attach_over_grpc(agent::Agent::Stub& stub, const agent::AttachInput& first,
                                               agent::Attached& attached);

}  // namespace husk
