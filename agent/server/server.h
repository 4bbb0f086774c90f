// The agent's gRPC server, over one connected socket.
#pragma once

#include <memory>

#include "agent/guest/guest.h"
#include "libcontainer/base/fd.h"

namespace husk {

class AgentServer {
 public:
  explicit AgentServer(guest::Guest& guest);
  // Serves what comes over the socket; takes it over.
  void serve(UniqueFd socket);
  ~AgentServer();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace husk
