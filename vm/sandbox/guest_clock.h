// The guest's clock is set when its share is mounted; this keeps it near the host's.
#pragma once

#include "agent/client/agent_client.h"
#include "libcontainer/base/fd.h"

namespace husk::vm {

class GuestClock {
 public:
  explicit GuestClock(AgentClient& agent);  // not owned
  // Tells the guest what time it is whenever the host's clock is set (a suspend's end, too), and every ten
  // minutes, because only one of both clocks is trimmed by NTP. Returns after stop(), or when the guest is
  // gone.
  void follow() noexcept;
  void stop() noexcept;  // from any thread

 private:
  AgentClient& agent_;
  UniqueFd timer_, stop_;
};

}  // namespace husk::vm
