// AttachStream over the RPC Attach.
#pragma once

#include "agent.grpc.pb.h"
#include "agent/client/agent_client.h"

namespace husk {

// Returns after the guest's "attached", within deadline::kAgentCall.
std::unique_ptr<AttachStream> attach_over_grpc(agent::Agent::Stub& stub, const std::string& id,
                                               const std::string& process_id);

}  // namespace husk
