// A session that is the same on both sides: pieces of data, each way in a window, and an end of each
// direction. What listeners and connections (agent.proto's listen and carry) are made of.
//
// Three things can end. A direction of data: kEof from who writes, kClosed from who reads. The session: kEnd,
// said by its owner (FrameServer, the client's streams) when it is done. This object: by any of them that
// breaks the rules, by kEnd, by close(), by the link's end.
#pragma once

#include <cstdint>
#include <string_view>

#include "agent/wire/inbox.h"
#include "libcontainer/base/fd.h"

namespace husk::wire {

// What is sent and not taken, each way. A piece costs its bytes and kPieceCost, so that it bounds their
// number, too.
inline constexpr size_t kChannelWindow = 512u << 10;
inline constexpr size_t kPieceCost = 128;

// Any threads send, one reads next(): kData, kEof and kClosed, each of these once; and first kReply, where
// the request has one.
class Channel : public Inbox {
 public:
  // The link must outlive it.
  Channel(FrameLink& link, uint32_t session);

  bool reply(std::string_view data) { return write(FrameKind::kReply, data); }
  // At most kMaxChunk; waits while the window is full. False: it is over.
  bool send(std::string_view data);
  bool send_eof();     // no more data comes from here; once
  void send_closed();  // nobody here reads any more
  // A piece of so many bytes that next() gave has gone its way: as much may come again.
  void taken(size_t bytes);
  // kClosed has come, though it may not have been its turn in next() yet.
  bool unread() const;
  // Makes next() and send() return. Does not wait. From any thread.
  void close();
  // An eventfd that is readable once it is over; where an end of file had come, once that was read.
  int over() const { return over_.get(); }

 private:
  bool take_in(Frame frame) override;
  void given_out(const Frame& frame) override;
  void at_end() override;
  void set_over();
  bool write(FrameKind kind, std::string_view data);

  FrameLink& link_;
  const uint32_t session_;
  const UniqueFd over_;
  // With mutex_ held.
  size_t credit_ = kChannelWindow;      // that we may send
  size_t on_the_way_ = 0, untold_ = 0;  // that has come; of it what was taken, and not told yet
  bool replied_ = false, eof_ = false, closed_ = false;  // have come
  bool closed_said_ = false;
};

}  // namespace husk::wire
