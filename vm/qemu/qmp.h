// A small synchronous QMP client on a connected socket (QEMU's docs/interop/qmp-spec.txt).
#pragma once

#include <chrono>
#include <deque>
#include <string>
#include <vector>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/message.h"

namespace husk::vm {

class Qmp {
 public:
  static constexpr size_t kMaxLine = 1u << 20;  // no reply that we ask for comes near it
  static constexpr size_t kMaxEvents = 64;      // older ones are dropped

  Qmp() = default;
  explicit Qmp(UniqueFd socket) : socket_(std::move(socket)) {}

  // Runs a command and returns its "return". The first one negotiates capabilities before. fds go with it
  // (getfd). Throws kGuestDied at EOF, kTimeout, kInvalid for what is not QMP, kInternal with QMP's own
  // description.
  Json execute(const std::string& command, const Json& arguments = Json::object(),
               const std::vector<int>& fds = {}, std::chrono::milliseconds timeout = deadline::kQmpReply);
  using Clock = std::chrono::steady_clock;
  // The next event of that name, also one that came before; others are dropped. Throws as execute() does.
  Json wait_event(const std::string& name, Clock::time_point until);
  // The events that came between replies, oldest first.
  std::deque<Json> take_events() { return std::exchange(events_, {}); }
  bool negotiated() const { return negotiated_; }

 private:
  void negotiate();
  Json call(const std::string& command, const Json& arguments, const std::vector<int>& fds,
            Clock::time_point until);
  void send(const std::string& line, const std::vector<int>& fds, Clock::time_point until);
  Json receive(Clock::time_point until);  // the next message that is not an event
  Json next_message(Clock::time_point until);

  UniqueFd socket_;
  std::string buffer_;
  std::deque<Json> events_;
  unsigned long last_id_ = 0;
  bool negotiated_ = false;
};

}  // namespace husk::vm
