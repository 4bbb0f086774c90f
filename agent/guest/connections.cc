#include "agent/guest/connections.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "agent/guest/log.h"
#include "libcontainer/base/error.h"

namespace husk::guest {
namespace {

constexpr int kBreath = 100;                // ms
constexpr size_t kMaxDatagram = 63u << 10;  // with who sent it, a piece of a channel (agent/wire)

// Who connected, as the kernel kept it. The host wants to be told, and has the last word.
void ask_who(int socket, Heard& heard) {
  ucred peer{};
  socklen_t size = sizeof peer;
  check(getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size), "SO_PEERCRED");
  heard.uid = peer.uid;
  heard.gid = peer.gid;
  size = 0;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, nullptr, &size) == 0) return;
  if (errno != ERANGE) throw_errno("SO_PEERGROUPS");
  heard.groups.resize(size / sizeof(gid_t));
  check(getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, heard.groups.data(), &size), "SO_PEERGROUPS");
}

}  // namespace

uint64_t Connections::add(Connection connection, const void* owner) {
  std::lock_guard lock(mutex_);
  waiting_[next_] = {std::move(connection), owner};
  return next_++;
}

Connection Connections::take(uint64_t id) {
  std::lock_guard lock(mutex_);
  const auto found = waiting_.find(id);
  if (found == waiting_.end()) throw Error(ErrorKind::kNotFound, "no connection " + std::to_string(id));
  Connection connection = std::move(found->second.connection);
  waiting_.erase(found);
  return connection;
}

void Connections::drop(const void* owner) {
  std::lock_guard lock(mutex_);
  std::erase_if(waiting_, [&](const auto& item) { return item.second.owner == owner; });
}

// Outlives the listening where a connection does.
struct Listening::Slots {
  explicit Slots(unsigned count)
      : free(count), wake(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {}
  std::atomic<unsigned> free;
  UniqueFd wake;

  void tell() const {
    uint64_t one = 1;
    (void)!write(wake.get(), &one, sizeof one);
  }
  static std::shared_ptr<void> take(const std::shared_ptr<Slots>& slots) {
    --slots->free;
    return {slots.get(), [slots](void*) {
              ++slots->free;
              slots->tell();
            }};
  }
};

Listening::Listening(Listener listener, Connections& connections, unsigned max_connections)
    : listener_(std::move(listener)),
      connections_(connections),
      slots_(std::make_shared<Slots>(max_connections)),
      buffer_(listener_.datagrams() ? kMaxDatagram : 0, '\0') {}

Listening::~Listening() {
  connections_.drop(this);
}

void Listening::stop() {
  stopped_ = true;
  slots_->tell();
}

void Listening::run(const Sink& sink) {
  for (;;) {
    const bool deaf = slots_->free == 0 || short_of_;
    pollfd fds[] = {{slots_->wake.get(), POLLIN, 0}, {deaf ? -1 : listener_.fd(), POLLIN, 0}};
    if (poll(fds, 2, short_of_ ? kBreath : -1) < 0 && errno != EINTR) return;
    short_of_ = false;
    uint64_t count;
    if (fds[0].revents) (void)!read(slots_->wake.get(), &count, sizeof count);
    if (stopped_) return;
    if (fds[1].revents && !(listener_.datagrams() ? receive_one(sink) : accept_one(sink))) return;
  }
}

bool Listening::accept_one(const Sink& sink) {
  Connection connection;
  connection.socket.reset(accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!connection.socket) {  // it has gone again, or we are short of files or memory: then it is still there
    short_of_ = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
    return true;
  }
  Heard heard;
  try {
    if (listener_.is_file()) ask_who(connection.socket.get(), heard);
  } catch (const Error& e) {
    log_warning("a connection is refused: " + e.message());
    return true;
  }
  connection.slot = Slots::take(slots_);
  heard.connection = connections_.add(std::move(connection), this);
  return sink(std::move(heard));
}

bool Listening::receive_one(const Sink& sink) {
  Heard heard;
  sockaddr_storage from;
  socklen_t size = sizeof from;
  const ssize_t n = recvfrom(listener_.fd(), buffer_.data(), buffer_.size(), MSG_TRUNC,
                             reinterpret_cast<sockaddr*>(&from), &size);
  if (n < 0 || static_cast<size_t>(n) > buffer_.size()) return true;
  heard.datagram.peer.assign(reinterpret_cast<const char*>(&from), size);
  heard.datagram.data.assign(buffer_.data(), static_cast<size_t>(n));
  return sink(std::move(heard));
}

// One that finds no room is lost, as datagrams are.
void Listening::answer(const Datagram& datagram) {
  (void)!sendto(listener_.fd(), datagram.data.data(), datagram.data.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                reinterpret_cast<const sockaddr*>(datagram.peer.data()),
                static_cast<socklen_t>(datagram.peer.size()));
}

}  // namespace husk::guest
