// agent.proto's service, over gRPC: checks what came, calls agent/guest, packs the answer. Nothing is decided
// here.
#pragma once

#include "agent.grpc.pb.h"
#include "agent/guest/guest.h"

namespace husk {

class AgentService final : public agent::Agent::Service {
 public:
  explicit AgentService(guest::Guest& guest) : guest_(guest) {}

  // service_guest.cc
  grpc::Status Unplug(grpc::ServerContext*, const agent::UnplugRequest*, agent::Empty*) override;
  grpc::Status ListContainers(grpc::ServerContext*, const agent::Empty*,
                              agent::ListContainersReply*) override;
  grpc::Status NotifyChanges(grpc::ServerContext*, const agent::NotifyChangesRequest*,
                             agent::NotifyChangesReply*) override;

  // service_container.cc
  grpc::Status PauseContainer(grpc::ServerContext*, const agent::ContainerRef*, agent::Empty*) override;
  grpc::Status ResumeContainer(grpc::ServerContext*, const agent::ContainerRef*, agent::Empty*) override;
  grpc::Status UpdateContainer(grpc::ServerContext*, const agent::UpdateContainerRequest*,
                               agent::UpdateContainerReply*) override;
  grpc::Status StatsContainer(grpc::ServerContext*, const agent::ContainerRef*,
                              agent::StatsContainerReply*) override;
  grpc::Status ListProcesses(grpc::ServerContext*, const agent::ListProcessesRequest*,
                             agent::ListProcessesReply*) override;

  // service_connections.cc
  grpc::Status Listen(grpc::ServerContext*,
                      grpc::ServerReaderWriter<agent::ListenOutput, agent::ListenInput>*) override;
  grpc::Status Carry(grpc::ServerContext*, grpc::ServerReaderWriter<agent::Data, agent::Data>*) override;

 private:
  guest::Guest& guest_;
};

}  // namespace husk
