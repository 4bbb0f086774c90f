#include "agent/server/server.h"

#include "agent/server/service.h"
#include "agent/wire/wire.h"

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

void AgentServer::serve(UniqueFd socket) {
  wire::serve_fd(*impl_->server, std::move(socket));
}

AgentServer::~AgentServer() = default;

}  // namespace husk
