// What the guest says in a call's or a process's session.
#pragma once

#include "agent/wire/frames.h"
#include "agent/wire/inbox.h"

namespace husk {

// Bounded: the guest is not trusted.
class ReplyInbox : public wire::Inbox {
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

}  // namespace husk
