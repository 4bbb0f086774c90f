// What the agent is asked in frames (agent/wire/frames.h). Thread-safe.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "agent.pb.h"
#include "agent/client/agent_client.h"
#include "agent/wire/channel.h"
#include "agent/wire/frames.h"
#include "agent/wire/inbox.h"

namespace husk {

// A call's or a process's. Bounded: the guest is not trusted.
class FrameInbox : public wire::Inbox {
 public:
  // Bytes of an output that their reader has taken. Returns how much the guest is to be told of now: not each
  // line of output is worth a message back.
  size_t take(wire::FrameKind output, size_t bytes);

 private:
  struct Window {
    size_t on_the_way = 0, untold = 0;
  };
  bool take_in(wire::Frame frame) override;
  void given_out(const wire::Frame& frame) override;
  bool fits(const wire::Frame& frame);
  wire::Frame* last_of(wire::FrameKind output);
  Window& window(wire::FrameKind output);

  size_t words_ = 0;  // bytes of frames_ that are no output
  Window stdout_, stderr_;
};

class FrameClient {
 public:
  explicit FrameClient(UniqueFd socket);
  ~FrameClient();

  // One request, one reply. Throws the guest's error, kTimeout, kGuestDied; `what` goes in front.
  agent::Reply call(const agent::Request& request, const std::string& what,
                    std::chrono::milliseconds timeout);
  // Does not wait for it to be done. Throws kGuestDied.
  void tell(const agent::Request& notice);
  // A create or an exec: returns after the guest's "attached". No stream must outlive the client.
  std::unique_ptr<AttachStream> attach(const agent::Request& request, agent::Attached& attached);
  // Returns once the guest listens, within deadline::kAgentCall.
  std::unique_ptr<ListenStream> listen(const agent::Request& request);
  // Does not wait.
  std::unique_ptr<CarryStream> carry(const agent::Request& request);

  // A session's: False when the connection is gone.
  bool write(uint32_t session, wire::FrameKind kind, std::string_view data);
  // What comes for it is thrown away from now on.
  void forget(uint32_t session);

 private:
  template <typename Make>  // of the number
  auto add_session(Make make);
  void open(uint32_t session, wire::FrameKind kind, const agent::Request& request,
            std::chrono::milliseconds timeout);
  std::pair<uint32_t, std::shared_ptr<wire::Channel>> open_channel(const agent::Request& request);
  void hear();
  void hear_one(wire::Frame frame);
  std::shared_ptr<wire::Inbox> find(uint32_t session);

  wire::FrameLink link_;
  std::mutex mutex_;  // of what follows
  uint32_t last_ = 0;
  bool gone_ = false;
  std::map<uint32_t, std::shared_ptr<wire::Inbox>> inboxes_;
  std::thread thread_;
};

}  // namespace husk
