// What the agent is asked in frames (agent/wire/frames.h). Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "agent.pb.h"
#include "agent/client/agent_client.h"
#include "agent/wire/channel.h"
#include "agent/wire/frames.h"

namespace husk {

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
  // Waits for its turn to write, not for an answer.
  std::unique_ptr<CarryStream> carry(const agent::Request& request);

  // Resets a connection that was heard of and is not carried. Does not wait.
  void refuse(const agent::Request& carry);

  // A session's: False when the connection is gone.
  bool write(uint32_t session, wire::FrameKind kind, std::string_view data);
  // What comes for it is thrown away from now on.
  void forget(uint32_t session);
  // The same, and the guest is told so. Does not wait: a guest that reads
  // nothing must not hold up who is done with it.
  void end_session(uint32_t session) noexcept;

 private:
  template <typename Make>  // of the number
  auto add_session(Make make);
  std::pair<uint32_t, std::shared_ptr<wire::Channel>> add_channel();
  void hear();
  void let_it_fill(bool bulk);
  void hear_one(wire::Frame frame);
  std::shared_ptr<wire::Inbox> find(uint32_t session);
  void say_late(wire::Frame frame);
  void speak_late();

  wire::FrameLink link_;
  bool bulk_ = false;  // of hear()
  std::mutex mutex_;   // of what follows
  uint32_t last_ = 0;
  bool gone_ = false;
  std::map<uint32_t, std::shared_ptr<wire::Inbox>> inboxes_;
  std::deque<wire::Frame> late_;  // what is said when the guest listens
  std::condition_variable changed_;
  std::thread hearing_, speaking_;
};

}  // namespace husk
