#include "agent/wire/inbox.h"

namespace husk::wire {

void Inbox::set_ended() {
  if (std::exchange(ended_, true)) return;
  at_end();
}

bool Inbox::hear(Frame frame) {
  std::lock_guard lock(mutex_);
  if (ended_) return false;
  if (frame.kind == FrameKind::kEnd || !take_in(std::move(frame))) set_ended();
  changed_.notify_all();
  return !ended_;
}

void Inbox::end(bool gone) {
  std::lock_guard lock(mutex_);
  gone_ |= gone;
  set_ended();
  changed_.notify_all();
}

std::optional<Frame> Inbox::give_out() {
  if (frames_.empty()) return {};
  Frame frame = std::move(frames_.front());
  frames_.pop_front();
  given_out(frame);
  return frame;
}

std::optional<Frame> Inbox::next(std::chrono::milliseconds timeout, bool& late) {
  std::unique_lock lock(mutex_);
  late = !changed_.wait_for(lock, timeout, [this] { return !frames_.empty() || ended_; });
  return give_out();
}

std::optional<Frame> Inbox::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !frames_.empty() || ended_; });
  return give_out();
}

bool Inbox::gone() const {
  std::lock_guard lock(mutex_);
  return gone_;
}

}  // namespace husk::wire
