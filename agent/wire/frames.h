// All that host and guest say to one another, in frames over one fd, the virtio port "husk.agent". Not
// gRPC's: its first call is 7,000 blocks of code to an emulated guest, and it would copy a process's output
// seven times. A frame is a header of 8 bytes (the session; the kind in the upper byte of what else is the
// size; both little-endian) and its payload. The host opens a session, with a number that is new, by its
// request.
#pragma once

#include <chrono>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "libcontainer/base/fd.h"

namespace husk::wire {

enum class FrameKind : uint8_t {
  kRequest = 1,  // host: agent.Request
  kNotice,       // host: agent.Request, a signal's: done by whoever hears it, and not replied to
  kReply,        // guest: agent.Reply; of a call the last frame, of a process or a listener the first
  kInput,        // host: agent.Input
  kOutput,       // guest: agent.Output
  kStdin,        // host: bytes, at most kMaxChunk (wire.h)
  kStdout,       // guest: bytes, at most kMaxBulk
  kStderr,
  kEnd,     // either side: nothing more is said in this session, and nothing heard
  kOpen,    // host: agent.Request, a listen or a carry: what follows is a channel's (channel.h)
  kData,    // either side, in a channel: bytes, at most kMaxChunk
  kTaken,   // what of the other side's window is free again: 4 bytes, little-endian
  kEof,     // no more data comes from here
  kClosed,  // nobody here reads any more
};

struct Frame {
  uint32_t session = 0;
  FrameKind kind = FrameKind::kEnd;
  std::string data;
};

inline constexpr size_t kFrameHeader = 8;
inline constexpr size_t kMaxFrame = (16u << 20) - 1;  // a config may be large
inline constexpr size_t kMaxBulk = 1u << 20;          // of the kinds that are bytes

class FrameLink {
 public:
  // A connected socket, or a character device; made non-blocking.
  explicit FrameLink(UniqueFd fd);

  // The next one, of one thread; nothing at the connection's end. Throws kInvalid for what is no frame.
  std::optional<Frame> read();
  // From any thread, one after the other. False when the connection has ended: that it has, too, when the
  // other side does not take the frame within kAgentCall of its turn.
  bool write(uint32_t session, FrameKind kind, std::string_view data);
  // What may fail by itself: false also when nothing of it was taken by then.
  bool write_by(std::chrono::steady_clock::time_point end, uint32_t session, FrameKind kind,
                std::string_view data);
  // As write(), of so many bytes (at most kMaxBulk) that are in a pipe, whose read end does not block: its
  // pages leave as they are. kLost: some of them cannot be read (any more); zeros are in their place.
  enum class Spliced { kAll, kLost, kGone };
  Spliced splice(uint32_t session, FrameKind kind, int pipe, size_t size);
  // The connection ends: whoever reads or writes returns.
  void end() noexcept;
  int fd() const { return fd_.get(); }
  // write() has no deadline from now on.
  void set_patient() { patient_ = true; }

 private:
  bool fill();
  size_t read_some(char* to, size_t size);
  std::optional<Frame> read_rest(Frame frame, size_t size);
  using Clock = std::chrono::steady_clock;
  Clock::time_point frame_deadline() const;
  bool wait(short events, Clock::time_point end);
  size_t write_some(const char* data, size_t size, Clock::time_point end);
  size_t write_frame(std::string_view header, std::string_view data, Clock::time_point end);
  bool write_zeros(size_t size, Clock::time_point end);
  size_t splice_some(int pipe, size_t size, Clock::time_point end);
  size_t copy_some(int pipe, size_t size, Clock::time_point end);

  const UniqueFd fd_;
  const UniqueFd ended_;  // eventfd
  const bool is_socket_;
  bool patient_ = false;

  // read()'s own.
  std::unique_ptr<char[]> buffer_;
  size_t begin_ = 0, end_ = 0;

  class Turn;
  std::mutex turn_mutex_;   // of what follows
  std::list<Turn*> turns_;  // who writes, and who waits for it
  bool over_ = false;
  std::string out_;  // of whose turn it is: a header and its payload leave in one piece
};

}  // namespace husk::wire
