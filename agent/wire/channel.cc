#include "agent/wire/channel.h"

#include <endian.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cstring>
#include <utility>

#include "agent/wire/wire.h"
#include "libcontainer/base/error.h"

namespace husk::wire {
namespace {

constexpr size_t cost_of(size_t bytes) {
  return bytes + kPieceCost;
}

}  // namespace

Channel::Channel(FrameLink& link, uint32_t session)
    : link_(link), session_(session), over_(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {}

bool Channel::take_in(Frame frame) {
  switch (frame.kind) {
    case FrameKind::kTaken: {
      uint32_t taken;
      if (frame.data.size() != sizeof taken) return false;
      memcpy(&taken, frame.data.data(), sizeof taken);
      credit_ += le32toh(taken);
      return credit_ <= kChannelWindow;
    }
    case FrameKind::kData:
      on_the_way_ += cost_of(frame.data.size());
      if (frame.data.empty() || frame.data.size() > kMaxChunk || eof_ || on_the_way_ > kChannelWindow)
        return false;
      break;
    case FrameKind::kEof:
      if (!frame.data.empty() || std::exchange(eof_, true)) return false;
      break;
    case FrameKind::kClosed:
      if (!frame.data.empty() || std::exchange(closed_, true)) return false;
      break;
    case FrameKind::kReply:
      if (frame.data.size() > kMaxChunk || std::exchange(replied_, true)) return false;
      break;
    default:
      return false;
  }
  frames_.push_back(std::move(frame));
  return true;
}

void Channel::set_over() {
  const uint64_t one = 1;
  (void)!::write(over_.get(), &one, sizeof one);
}

// Who says kEnd after an end of file has broken nothing off: what is still here is to go its way.
void Channel::at_end() {
  if (!eof_ || frames_.empty()) set_over();
}

void Channel::given_out(const Frame&) {
  if (ended_ && frames_.empty()) set_over();
}

bool Channel::write(FrameKind kind, std::string_view data) {
  {
    std::lock_guard lock(mutex_);
    if (ended_) return false;
  }
  return link_.write(session_, kind, data);
}

bool Channel::send(std::string_view data) {
  const size_t cost = cost_of(data.size());
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_ || credit_ >= cost; });
    if (ended_) return false;
    credit_ -= cost;
  }
  return link_.write(session_, FrameKind::kData, data);
}

bool Channel::send_eof() {
  return write(FrameKind::kEof, {});
}

void Channel::send_closed() {
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(closed_said_, true)) return;
  }
  write(FrameKind::kClosed, {});
}

// Not each piece is worth a message back.
void Channel::taken(size_t bytes) {
  size_t told;
  {
    std::lock_guard lock(mutex_);
    untold_ += cost_of(bytes);
    if (untold_ < kChannelWindow / 4) return;
    told = std::exchange(untold_, 0);
    on_the_way_ -= told;
  }
  const uint32_t size = htole32(static_cast<uint32_t>(told));
  write(FrameKind::kTaken, {reinterpret_cast<const char*>(&size), sizeof size});
}

bool Channel::unread() const {
  std::lock_guard lock(mutex_);
  return closed_;
}

void Channel::close() {
  {
    std::lock_guard lock(mutex_);
    set_over();
  }
  end(false);
}

}  // namespace husk::wire
