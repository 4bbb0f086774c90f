// Connections that were accepted in the guest, until the host carries them (agent.proto's listen and carry).
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent/guest/listener.h"
#include "libcontainer/base/fd.h"

namespace husk::guest {

struct Connection {
  UniqueFd socket;
  std::shared_ptr<void> slot;  // one of its listener's; kept until it has ended
};

// Thread-safe.
class Connections {
 public:
  uint64_t add(Connection connection, const void* owner);
  // Throws kNotFound.
  Connection take(uint64_t id);
  // Those that nobody has taken.
  void drop(const void* owner);

 private:
  struct Entry {
    Connection connection;
    const void* owner;
  };
  std::mutex mutex_;
  std::map<uint64_t, Entry> waiting_;
  uint64_t next_ = 1;
};

struct Datagram {
  std::string peer, data;
};

// What a listener hears.
struct Heard {
  uint64_t connection = 0;  // in Connections; 0: it is a datagram
  uid_t uid = static_cast<uid_t>(-1);
  gid_t gid = static_cast<gid_t>(-1);
  std::vector<gid_t> groups;  // of a unix socket's client
  Datagram datagram;
};

// One listener. run() is one poll loop in one thread; the other methods are called from one other.
class Listening {
 public:
  // Returns false when nobody wants to know any more.
  using Sink = std::function<bool(Heard)>;

  // At most max_connections at a time; the next one waits in the listener's queue.
  Listening(Listener listener, Connections& connections, unsigned max_connections);
  ~Listening();

  void run(const Sink& sink);
  void answer(const Datagram& datagram);
  void stop();

 private:
  struct Slots;
  bool accept_one(const Sink& sink);
  bool receive_one(const Sink& sink);

  const Listener listener_;
  Connections& connections_;
  const std::shared_ptr<Slots> slots_;
  std::string buffer_;     // for a datagram
  bool short_of_ = false;  // files or memory: nothing is accepted for a moment
  std::atomic<bool> stopped_{false};
};

}  // namespace husk::guest
