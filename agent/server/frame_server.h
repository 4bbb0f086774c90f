// What the host asks for in frames: one thread hears it, workers do it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <variant>

#include "agent/guest/guest.h"
#include "agent/server/process_session.h"
#include "agent/server/workers.h"
#include "agent/wire/channel.h"
#include "agent/wire/frames.h"

namespace husk {

// Lives as long as the process, once it serves.
class FrameServer {
 public:
  explicit FrameServer(guest::Guest& guest) : guest_(guest) {}
  // Begins to, after wait_for_host has returned; neither reads nor writes before. on_end: the host is gone,
  // or what it says is no frame. Both are called in the thread that hears.
  void serve(UniqueFd fd, std::function<void(int fd)> wait_for_host, std::function<void()> on_end);

 private:
  using Session = std::variant<std::shared_ptr<ProcessSession>, std::shared_ptr<wire::Channel>>;
  void hear();
  void begin(wire::Frame frame);
  Session make_session(const wire::Frame& frame);
  void carry_out(uint32_t id, const Session& session, std::string request) noexcept;
  void pass_on(wire::Frame frame);
  std::optional<Session> find(uint32_t id);
  void forget(uint32_t id);
  void reply(uint32_t id, const agent::Reply& reply);

  guest::Guest& guest_;
  std::optional<wire::FrameLink> link_;
  Workers workers_;
  std::mutex mutex_;
  std::map<uint32_t, Session> sessions_;
};

}  // namespace husk
