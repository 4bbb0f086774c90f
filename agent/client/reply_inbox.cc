#include "agent/client/reply_inbox.h"

#include <algorithm>

#include "agent/wire/wire.h"

namespace husk {

using wire::Frame;
using wire::FrameKind;

namespace {

// That nobody reads, beside output.
constexpr size_t kMaxFrames = 4096;
constexpr size_t kMerged = 256u << 10;  // small pieces become one that is so large

bool is_output(FrameKind kind) {
  return kind == FrameKind::kStdout || kind == FrameKind::kStderr;
}

}  // namespace

ReplyInbox::Window& ReplyInbox::window(FrameKind output) {
  return output == FrameKind::kStdout ? stdout_ : stderr_;
}

bool ReplyInbox::fits(const Frame& frame) {
  // Empty output is none, and would cost its window nothing.
  if (!is_output(frame.kind) || frame.data.empty()) {
    words_ += frame.data.size();
    return frames_.size() < kMaxFrames && words_ <= wire::kMaxReply;
  }
  Window& window = this->window(frame.kind);
  window.on_the_way += frame.data.size();
  return window.on_the_way <= wire::kOutputWindow + wire::kMaxRest;
}

// The last frame of the same output, if only the other one's is behind it: between the two there is no order.
Frame* ReplyInbox::last_of(FrameKind output) {
  for (size_t back = 1; back <= std::min<size_t>(2, frames_.size()); ++back) {
    Frame& frame = frames_[frames_.size() - back];
    if (!is_output(frame.kind)) return nullptr;
    if (frame.kind == output) return &frame;
  }
  return nullptr;
}

bool ReplyInbox::take_in(Frame frame) {
  Frame* last = is_output(frame.kind) ? last_of(frame.kind) : nullptr;
  if (!fits(frame)) return false;
  if (last && last->data.size() + frame.data.size() <= kMerged)
    last->data += frame.data;
  else
    frames_.push_back(std::move(frame));
  return true;
}

void ReplyInbox::given_out(const Frame& frame) {
  if (!is_output(frame.kind)) words_ -= frame.data.size();
}

size_t ReplyInbox::take(FrameKind output, size_t bytes) {
  std::lock_guard lock(mutex_);
  Window& window = this->window(output);
  window.untold += bytes;
  if (window.untold < wire::kOutputWindow / 2) return 0;
  window.on_the_way -= std::min(window.on_the_way, window.untold);
  return std::exchange(window.untold, 0);
}

}  // namespace husk
