// The agent's gRPC server, over one connected socket.
#pragma once

#include <memory>

#include "agent/guest/guest.h"
#include "libcontainer/base/fd.h"

namespace husk {

class AgentServer {
 public:
  // Serves at once; takes the socket over.
  AgentServer(guest::Guest& guest, UniqueFd socket);
  ~AgentServer();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace husk
