#include "agent/server/border.h"
#include "agent/server/service.h"
#include "libcontainer/linux/process_list.h"
#include "spec/binary.h"

namespace husk {

grpc::Status AgentService::PauseContainer(grpc::ServerContext*, const agent::ContainerRef* request,
                                          agent::Empty*) {
  return at_border([&] { guest_.container(request->container_id())->pause(); });
}

grpc::Status AgentService::ResumeContainer(grpc::ServerContext*, const agent::ContainerRef* request,
                                           agent::Empty*) {
  return at_border([&] { guest_.container(request->container_id())->resume(); });
}

grpc::Status AgentService::UpdateContainer(grpc::ServerContext*, const agent::UpdateContainerRequest* request,
                                           agent::UpdateContainerReply* reply) {
  return at_border([&] {
    auto container = guest_.container(request->container_id());
    for (std::string& warning : container->update(spec::from_binary<spec::Resources>(request->resources())))
      reply->add_warnings(std::move(warning));
  });
}

grpc::Status AgentService::StatsContainer(grpc::ServerContext*, const agent::ContainerRef* request,
                                          agent::StatsContainerReply* reply) {
  return at_border([&] { reply->set_stats_json(guest_.container(request->container_id())->stats().dump()); });
}

grpc::Status AgentService::ListProcesses(grpc::ServerContext*, const agent::ListProcessesRequest* request,
                                         agent::ListProcessesReply* reply) {
  return at_border([&] {
    auto container = guest_.container(request->container_id());
    for (ProcessInfo& info : describe_processes(container->pids())) {
      agent::ProcessInfo* out = reply->add_processes();
      out->set_pid(info.pid);
      out->set_ppid(info.ppid);
      out->set_uid(info.uid);
      out->set_start_seconds(info.start_seconds);
      out->set_cpu_milliseconds(info.cpu_milliseconds);
      out->set_tty(std::move(info.tty));
      out->set_command(std::move(info.command));
      out->set_state(std::move(info.state));
      out->set_virtual_kib(info.virtual_kib);
      out->set_resident_kib(info.resident_kib);
    }
  });
}

}  // namespace husk
