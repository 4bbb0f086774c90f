// What has come in one session (frames.h) and was not read yet.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>

#include "agent/wire/frames.h"

namespace husk::wire {

// Thread-safe. Who reads the link fills it and never waits here; each kind of session has a bound of its own.
class Inbox {
 public:
  virtual ~Inbox() = default;
  // False: the session is over, in order (kEnd) or since this breaks its rules.
  bool hear(Frame frame);
  // It is over, with nothing more to come than what is there; since the connection is gone, or not.
  void end(bool gone);
  // The next frame; nothing at the end, and after the timeout (late is set).
  std::optional<Frame> next(std::chrono::milliseconds timeout, bool& late);
  std::optional<Frame> next();
  bool gone() const;

 protected:
  // All with mutex_ held. Keeps a frame, or heeds it; false: that breaks the rules.
  virtual bool take_in(Frame frame) = 0;
  virtual void given_out(const Frame&) {}
  virtual void at_end() {}

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Frame> frames_;
  bool ended_ = false;

 private:
  void set_ended();
  std::optional<Frame> give_out();

  bool gone_ = false;
};

}  // namespace husk::wire
