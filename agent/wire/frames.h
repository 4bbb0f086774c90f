// What the host asks of the guest, and the bytes of processes' streams, in frames over one fd, the virtio
// port "husk.frames". Not gRPC's: the first call of that is 7,000 blocks of code to an emulated guest, and
// bytes would be copied seven times. A frame is a header of 8 bytes (the session; the kind in the upper byte
// of what else is the size; both little-endian) and its payload. The host opens a session, with a number that
// is new, by its request.
#pragma once

#include <cstdint>
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
  kReply,        // guest: agent.Reply; of a call the last frame, of a process the first
  kInput,        // host: agent.Input
  kOutput,       // guest: agent.Output
  kStdin,        // host: bytes, at most kMaxChunk
  kStdout,       // guest: the same
  kStderr,
  kEnd,  // either side: nothing more is said in this session, and nothing heard
};

struct Frame {
  uint32_t session = 0;
  FrameKind kind = FrameKind::kEnd;
  std::string data;
};

inline constexpr size_t kFrameHeader = 8;
inline constexpr size_t kMaxFrame = (16u << 20) - 1;  // a config may be large
inline constexpr size_t kMaxBulk = 256u << 10;        // of the kinds that are bytes

class FrameLink {
 public:
  // A connected socket, or a character device; made non-blocking.
  explicit FrameLink(UniqueFd fd);

  // The next one, of one thread; nothing at the connection's end. Throws kInvalid for what is no frame.
  std::optional<Frame> read();
  // From any thread. False when the connection has ended, or the other side has taken nothing for kAgentCall
  // (that ends it) where `patient` is not set.
  bool write(uint32_t session, FrameKind kind, std::string_view data);
  // The same of so many bytes (at most kMaxBulk) that are in a pipe: its pages leave as they are.
  bool splice(uint32_t session, FrameKind kind, int pipe, size_t size);
  // The connection ends: whoever reads or writes returns.
  void end() noexcept;
  int fd() const { return fd_.get(); }
  void set_patient() { patient_ = true; }

 private:
  bool fill();
  size_t read_some(char* to, size_t size);
  std::optional<Frame> read_rest(Frame frame, size_t size);
  bool wait(short events, int timeout_ms);
  bool write_all(const char* data, size_t size);
  bool splice_all(int pipe, size_t size);

  const UniqueFd fd_;
  const UniqueFd ended_;  // eventfd
  const bool is_socket_;
  bool patient_ = false;

  // read()'s own.
  std::unique_ptr<char[]> buffer_;
  size_t begin_ = 0, end_ = 0;

  std::mutex write_mutex_;
  std::string out_;  // a header and its payload leave in one piece
};

}  // namespace husk::wire
