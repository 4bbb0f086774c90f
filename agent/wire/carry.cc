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

class Carrier {
 public:
  Carrier(int socket, const DataStream& stream, int stop) : socket_(socket), stream_(stream), stop_(stop) {}

  bool run() {
    std::thread outward([this] { send_out(); });
    receive();
    halt();
    outward.join();
    return in_ended_ && out_ended_;
  }

 private:
  void receive();
  bool deliver(std::string_view data);
  void send_out();
  bool wait_for(short events, short& got, int timeout_ms = -1) const;
  void note_end(bool& which);

  void halt() const {
    uint64_t one = 1;
    (void)!write(stop_, &one, sizeof one);
  }

  const int socket_;
  const DataStream& stream_;
  const int stop_;
  bool unread_ = false;  // nobody reads what we deliver
  std::mutex mutex_;     // of what follows
  bool in_ended_ = false, out_ended_ = false;
};

// False: it is over.
bool Carrier::wait_for(short events, short& got, int timeout_ms) const {
  pollfd fds[] = {{socket_, events, 0}, {stop_, POLLIN, 0}};
  while (poll(fds, 2, timeout_ms) < 0)
    if (errno != EINTR) return false;
  got = fds[0].revents;
  return fds[1].revents == 0;
}

void Carrier::note_end(bool& which) {
  bool both;
  {
    std::lock_guard lock(mutex_);
    which = true;
    both = in_ended_ && out_ended_;
  }
  if (both) stream_.end();
}

void Carrier::receive() {
  agent::Data message;
  while (stream_.read(message)) {
    if (message.data().size() > kMaxChunk || !deliver(message.data())) return stream_.cancel();
    if (message.closed()) shutdown(socket_, SHUT_RD);
    if (!message.eof()) continue;
    shutdown(socket_, SHUT_WR);
    note_end(in_ended_);
  }
}

// False: it is over. That the reader has gone ends one direction only.
bool Carrier::deliver(std::string_view data) {
  short got;
  while (!data.empty() && !unread_) {
    const ssize_t n = send(socket_, data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0) {
      data.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      if (!wait_for(POLLOUT, got)) return false;
    } else if (errno != EINTR) {
      unread_ = true;
      agent::Data closed;
      closed.set_closed(true);
      stream_.write(closed);
    }
  }
  return true;
}

void Carrier::send_out() {
  std::string buffer(kMaxChunk, '\0');
  agent::Data message;
  short got;
  while (wait_for(POLLIN | POLLRDHUP, got)) {
    const ssize_t n = recv(socket_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (n < 0) return stream_.cancel();
    if (n == 0) break;
    message.set_data(buffer.data(), static_cast<size_t>(n));
    if (!stream_.write(message)) return stream_.cancel();
  }
  if (!wait_for(0, got, 0)) return;
  message.clear_data();
  message.set_eof(true);
  message.set_closed((got & POLLHUP) != 0);
  if (!stream_.write(message)) return stream_.cancel();
  note_end(out_ended_);
  if (message.closed()) return;
  // A unix socket tells when its other side, which has only said that it writes no more, goes altogether.
  if (!wait_for(0, got)) return;
  message.clear_eof();
  message.set_closed(true);
  stream_.write(message);
}

}  // namespace

bool carry(UniqueFd socket, const DataStream& stream, int stop) {
  if (Carrier(socket.get(), stream, stop).run()) return true;
  const linger reset{1, 0};  // for TCP; a unix socket knows no other end
  setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  return false;
}

}  // namespace husk::wire
