// What a guest may reach on the host through the agent's connection: the unix sockets that a container's
// config mounts, and the embedded DNS of its network. A guest names neither: husk-sandbox listens in it for
// each, and whatever comes from there goes to that one.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "agent/client/agent_client.h"
#include "libcontainer/base/fd.h"
#include "spec/config.h"
#include "vm/sandbox/dns.h"

namespace husk::vm {

// One mount of a unix socket.
struct HostSocket {
  std::string destination;  // in the container, for messages
  UniqueFd file;            // of the socket: a mount that is nowhere else
};

class Connections {
 public:
  explicit Connections(AgentClient& agent);  // must outlive this
  ~Connections();                            // end()

  // What a container brings, before open(). May be called several times. resolv_conf: what it has at
  // /etc/resolv.conf, or empty.
  void add(const std::string& id, std::vector<HostSocket> sockets, UniqueFd resolv_conf);
  // Listens in the guest for a container's sockets, the "husk-socket:ID/INDEX" of its config in the order in
  // which they were added, and for the DNS of its network namespace where its resolv.conf names that.
  // network: the guest's KEY of it. Throws when a socket cannot be listened for; without the DNS it goes on,
  // with a warning.
  void open(const std::string& id, const spec::Config& config, const std::string& network, int netns);
  // A resolv.conf may name the DNS since then: dockerd rewrites it when it connects a container to its first
  // network that has one.
  void network_changed(const std::string& network) noexcept;
  // Ends the container's listeners, and its network's with the last container there. Connections end with the
  // processes that have them.
  void remove(const std::string& id) noexcept;
  // Takes nothing more and cancels all connections, and may be called while the guest is asked something.
  void stop() noexcept;
  // With the VM gone: no thread is left. Idempotent.
  void end() noexcept;

 private:
  // Where connections go.
  struct Target {
    std::string name;                                            // for messages
    std::function<UniqueFd(const ListenStream::News&)> connect;  // throws Error
    bool over = false;                                           // with running_mutex_
    unsigned running = 0;                                        // connections; the same
    std::atomic<bool> told{false};                               // that it could not be reached
  };
  using TargetPtr = std::shared_ptr<Target>;
  // One ListenStream and the thread that reads it.
  struct Listener {
    std::unique_ptr<ListenStream> stream;
    TargetPtr target;  // of connections
    std::thread thread;
  };
  struct Dns {
    Listener udp, tcp;
    std::unique_ptr<DnsQuestions> questions;
  };
  struct Container {
    std::vector<HostSocket> sockets;
    UniqueFd resolv_conf, netns;
    std::string network;
    std::vector<spec::IdMapping> uids, gids;
    std::list<Listener> listeners;
  };

  void map_ids(Container& container, const spec::Config& config) const;
  void open_sockets(const std::string& id, Container& container);
  void open_dns(const Container& container);
  void make_dns(const Container& container, Dns& dns);
  void listen_for_connections(Listener& listener, TargetPtr target);
  void stop(Listener& listener) noexcept;
  void end(Container& container) noexcept;
  void end(Dns& dns) noexcept;
  bool take_slot(Target& target);
  void give_slot_back(Target& target);
  void begin(const ListenStream::News& news, const TargetPtr& target) noexcept;
  void carry(const ListenStream::News& news, const Target& target);
  void refuse(uint64_t connection) noexcept;

  AgentClient& agent_;
  std::mutex mutex_;  // of containers and networks; the threads don't take it
  std::map<std::string, Container> containers_;
  std::map<std::string, Dns> dns_;  // by network

  std::mutex running_mutex_;  // of what follows
  std::condition_variable running_changed_;
  unsigned running_ = 0;  // connections, of all targets
  std::set<CarryStream*> carried_;
  std::atomic<bool> stopped_{false};
};

}  // namespace husk::vm
