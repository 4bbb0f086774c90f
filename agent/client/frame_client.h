// What the agent is asked in frames (agent/wire/frames.h). Thread-safe.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "agent.pb.h"
#include "agent/client/agent_client.h"
#include "agent/wire/frames.h"

namespace husk {

// What has come in one session and was not read yet. Bounded: the guest is not trusted.
class FrameInbox {
 public:
  // Bytes are added to those before them. False: too much of it, and the session is over.
  bool add(wire::Frame frame);
  // The session is over, with nothing more to come than what is there; since the connection is gone, or not.
  void end(bool gone);
  // The next frame; nothing at the end, and after the timeout (late is set; negative: none).
  std::optional<wire::Frame> next(std::chrono::milliseconds timeout, bool& late);
  std::optional<wire::Frame> next();
  bool gone() const;
  // Bytes of an output that their reader has taken. Returns how much the guest is to be told of now: not each
  // line of output is worth a message back.
  size_t take(wire::FrameKind output, size_t bytes);

 private:
  struct Window {
    size_t on_the_way = 0, untold = 0;
  };
  bool fits(const wire::Frame& frame);
  wire::Frame* last_of(wire::FrameKind output);
  std::optional<wire::Frame> take_first();
  Window& window(wire::FrameKind output);

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<wire::Frame> frames_;
  size_t words_ = 0;  // bytes of frames_ that are no output
  Window stdout_, stderr_;
  bool ended_ = false, gone_ = false;
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
  // A create or an exec: returns after the guest's "attached". It must not outlive the client.
  std::unique_ptr<AttachStream> attach(const agent::Request& request, agent::Attached& attached);

  // A session's: False when the connection is gone.
  bool write(uint32_t session, wire::FrameKind kind, std::string_view data);
  // What comes for it is thrown away from now on.
  void forget(uint32_t session);

 private:
  struct Session {
    uint32_t id;
    std::shared_ptr<FrameInbox> inbox;
  };
  Session open(const agent::Request& request, std::chrono::milliseconds timeout);
  void hear();
  void hear_one(wire::Frame frame);
  std::shared_ptr<FrameInbox> find(uint32_t session);

  wire::FrameLink link_;
  std::mutex mutex_;  // of what follows
  uint32_t last_ = 0;
  bool gone_ = false;
  std::map<uint32_t, std::shared_ptr<FrameInbox>> inboxes_;
  std::thread thread_;
};

}  // namespace husk
