#include "agent/wire/carry.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <thread>

#include "agent/wire/wire.h"

namespace husk::wire {
namespace {

constexpr int kLookAgain = 1000;  // ms

bool is_unix(int socket) {
  int domain = 0;
  socklen_t size = sizeof domain;
  return getsockopt(socket, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

class Carrier {
 public:
  Carrier(int socket, Channel& channel) : socket_(socket), channel_(channel) {}

  bool run() {
    std::thread outward([this] { guarded([this] { send_out(); }); });
    guarded([this] { receive(); });
    channel_.close();
    outward.join();
    return in_ended_ && out_ended_;
  }

 private:
  template <typename F>
  void guarded(F&& f) noexcept;
  void receive();
  bool heed(const Frame& frame);
  bool deliver(std::string_view data);
  void send_out();
  bool wait_for(short events, short& got, int timeout_ms = -1) const;
  void note_end(bool& which);

  const int socket_;
  const bool is_unix_ = is_unix(socket_);
  Channel& channel_;
  bool unread_ = false;  // nobody reads what we deliver
  std::mutex mutex_;     // of what follows
  bool in_ended_ = false, out_ended_ = false;
};

// Where memory ends, so does the connection.
template <typename F>
void Carrier::guarded(F&& f) noexcept {
  try {
    f();
  } catch (const std::exception&) {
    channel_.close();
  }
}

// False: it is over.
bool Carrier::wait_for(short events, short& got, int timeout_ms) const {
  pollfd fds[] = {{socket_, events, 0}, {channel_.over(), POLLIN, 0}};
  while (poll(fds, 2, timeout_ms) < 0)
    if (errno != EINTR) return false;
  got = fds[0].revents;
  return fds[1].revents == 0;
}

// The other side has seen both, too, or will before it hears of our end.
void Carrier::note_end(bool& which) {
  bool both;
  {
    std::lock_guard lock(mutex_);
    which = true;
    both = in_ended_ && out_ended_;
  }
  if (both) channel_.close();
}

void Carrier::receive() {
  while (const std::optional<Frame> frame = channel_.next())
    if (!heed(*frame)) return;
}

bool Carrier::heed(const Frame& frame) {
  switch (frame.kind) {
    case FrameKind::kData:
      if (!deliver(frame.data)) return false;
      channel_.taken(frame.data.size());
      return true;
    case FrameKind::kClosed:
      shutdown(socket_, SHUT_RD);
      return true;
    case FrameKind::kEof:
      shutdown(socket_, SHUT_WR);
      note_end(in_ended_);
      return true;
    default:  // an error: there is no such connection
      return false;
  }
}

// False: it is over. That the reader has gone ends one direction only. A unix socket that is full does not
// wake who polls when its reader says that he reads no more, hence the timeout; and who writes without
// reading is told in time that nobody reads him.
bool Carrier::deliver(std::string_view data) {
  short got;
  while (!data.empty() && !unread_) {
    const ssize_t n = send(socket_, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) {
      data.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      if (!wait_for(POLLOUT, got, kLookAgain)) return false;
      if (channel_.unread()) shutdown(socket_, SHUT_RD);
    } else if (errno != EINTR) {
      unread_ = true;
      channel_.send_closed();
    }
  }
  return true;
}

void Carrier::send_out() {
  std::string buffer(kMaxChunk, '\0');
  short got;
  while (wait_for(POLLIN | POLLRDHUP, got)) {
    const ssize_t n = recv(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    // Its other side has closed with something unread: as on one host, what it wrote before that counts.
    if (n < 0 && errno == ECONNRESET && is_unix_) break;
    if (n < 0) return channel_.close();
    if (n == 0) break;
    if (!channel_.send({buffer.data(), static_cast<size_t>(n)})) return;
  }
  if (!wait_for(0, got, 0)) return;
  const bool gone = (got & POLLHUP) != 0;
  if (gone) channel_.send_closed();
  if (!channel_.send_eof()) return;
  note_end(out_ended_);
  // A unix socket tells when its other side, which has only said that it writes no more, goes altogether.
  if (!gone && wait_for(0, got)) channel_.send_closed();
}

}  // namespace

bool carry(UniqueFd socket, Channel& channel) {
  const linger reset{1, 0};  // for TCP, if it is closed now; a unix socket knows no other end
  const linger none{};
  setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  if (!Carrier(socket.get(), channel).run()) return false;
  setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &none, sizeof none);
  return true;
}

}  // namespace husk::wire
