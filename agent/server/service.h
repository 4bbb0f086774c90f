// agent.proto's service, over gRPC (service_connections.cc): checks what came, calls agent/guest, packs the
// answer. Nothing is decided here.
#pragma once

#include "agent.grpc.pb.h"
#include "agent/guest/guest.h"

namespace husk {

class AgentService final : public agent::Agent::Service {
 public:
  explicit AgentService(guest::Guest& guest) : guest_(guest) {}

  grpc::Status Listen(grpc::ServerContext*,
                      grpc::ServerReaderWriter<agent::ListenOutput, agent::ListenInput>*) override;
  grpc::Status Carry(grpc::ServerContext*, grpc::ServerReaderWriter<agent::Data, agent::Data>*) override;

 private:
  guest::Guest& guest_;
};

}  // namespace husk
