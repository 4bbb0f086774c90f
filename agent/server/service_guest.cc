#include "agent/server/border.h"
#include "agent/server/service.h"

namespace husk {

grpc::Status AgentService::Unplug(grpc::ServerContext*, const agent::UnplugRequest* request, agent::Empty*) {
  return at_border([&] { guest_.unplug(checked_port(request->port())); });
}

grpc::Status AgentService::ListContainers(grpc::ServerContext*, const agent::Empty*,
                                          agent::ListContainersReply* reply) {
  return at_border([&] {
    for (const auto& container : guest_.containers()) {
      agent::ContainerInfo* info = reply->add_containers();
      info->set_container_id(container->id());
      info->set_status(status_name(container->status()));
      info->set_pid(container->pid());
    }
  });
}

grpc::Status AgentService::NotifyChanges(grpc::ServerContext*, const agent::NotifyChangesRequest* request,
                                         agent::NotifyChangesReply* reply) {
  return at_border([&] {
    if (request->changes_size() > wire::kMaxChanges)
      throw Error(ErrorKind::kInvalid, "more than " + std::to_string(wire::kMaxChanges) + " changes");
    bool watched = false;
    for (const agent::FileChange& change : request->changes())
      watched |= guest_.notify_change(change.volume(), change.path(), change.mask());
    reply->set_watched(watched);
  });
}

}  // namespace husk
