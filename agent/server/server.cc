#include "agent/server/server.h"

#include <sys/socket.h>

#include "agent/server/service.h"
#include "agent/wire/wire.h"
#include "libcontainer/base/deadlines.h"

namespace husk {

struct AgentServer::Impl {
  explicit Impl(guest::Guest& guest) : service(guest) {}
  AgentService service;
  std::unique_ptr<grpc::Server> server;
};

AgentServer::AgentServer(guest::Guest& guest) : impl_(std::make_unique<Impl>(guest)) {
  grpc::ServerBuilder builder;
  wire::configure(builder);
  builder.RegisterService(&impl_->service);
  impl_->server = builder.BuildAndStart();
  if (!impl_->server) throw Error(ErrorKind::kInternal, "the gRPC server does not start");
}

void AgentServer::rehearse() {
  auto [ours, theirs] = socket_pair(SOCK_STREAM);
  serve(std::move(theirs));
  auto stub = agent::Agent::NewStub(wire::make_channel(std::move(ours)));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + deadline::kAgentCall);
  agent::ListContainersReply reply;
  stub->ListContainers(&context, {}, &reply);  // whatever it says: the real call will say it too
}

void AgentServer::serve(UniqueFd socket) {
  wire::serve_fd(*impl_->server, std::move(socket));
}

AgentServer::~AgentServer() = default;

}  // namespace husk
