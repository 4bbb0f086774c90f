// What the guest may reach on the host: where it listens for that, and the connections that come.
#pragma once

#include <netinet/in.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libcontainer/base/fd.h"

namespace husk {

// A unix stream socket in the guest, a mount's source by the name "husk-socket:CONTAINER/INDEX".
struct GuestSocket {
  std::string container;
  unsigned index = 0;
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

// An address of the loopback in a network namespace (Card's KEY); host byte order.
struct GuestPort {
  std::string network;
  uint32_t address = INADDR_LOOPBACK;
  uint16_t port = 0;
  bool datagrams = false;
};

// Until it is destroyed the guest listens. read() in one thread at a time, the rest from any.
class ListenStream {
 public:
  enum class Event { kConnection, kQuestion };
  struct News {
    Event event = Event::kConnection;
    uint64_t connection = 0;  // for AgentClient::carry
    // Who has connected, as the guest says; nobody where it does not know (TCP).
    uid_t uid = static_cast<uid_t>(-1);
    gid_t gid = static_cast<gid_t>(-1);
    std::vector<gid_t> groups;
    std::string peer, data;  // of a datagram
  };
  virtual ~ListenStream() = default;
  // Blocks; false: cancelled, or the guest is gone.
  virtual bool read(News& news) = 0;
  // False: it is over.
  virtual bool answer(const std::string& peer, std::string_view data) = 0;
  // Makes a blocked read() or answer() return.
  virtual void cancel() = 0;
};

// One connection. Destroyed without run() it is reset.
class CarryStream {
 public:
  virtual ~CarryStream() = default;
  // Carries bytes between it and the connected socket until both directions have ended. False: one side has
  // broken, or cancel() was called, and the other was reset.
  virtual bool run(UniqueFd socket) = 0;
  // Makes run() return; from any thread. That the connection is reset, the guest hears at this object's end.
  virtual void cancel() = 0;
};

}  // namespace husk
