// The network namespaces of the host that containers of the VM are in: their interfaces spliced to cards of
// the VM, and followed: what comes, goes or changes later does so in the guest, too.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "agent/client/agent_client.h"
#include "libcontainer/base/fd.h"
#include "vm/machine.h"
#include "vm/net/network.h"

namespace husk::vm {

class Networks {
 public:
  // plug_mutex: whoever touches the machine holds it. All that is passed must outlive this.
  // on_changed: called without it when the guest has been told of a change, by the key of the network.
  Networks(std::mutex& plug_mutex, Machine& machine, AgentClient& agent,
           std::function<void(const std::string& key)> on_changed);
  ~Networks();  // end()

  // Splices the interfaces of a namespace and plugs their cards; one that it knows is left alone. Only with
  // plug_mutex held. key: names the namespace, here and for the guest. host: it is QEMU's own, where nothing
  // is spliced; the one card is on QEMU's user-mode stack. Throws.
  void enter(int netns, const std::string& key, bool host);
  // Tells the guest, which must be up, and follows the namespace from here on. Throws.
  void configure(const std::string& key);
  // No container is in it any more: unsplices, takes its cards out.
  void leave(const std::string& key) noexcept;
  // Takes no more changes, and may be called while the guest is asked something. The VM goes next.
  void stop() noexcept;
  // With the VM gone: nothing of husk's is left in any namespace. Idempotent.
  void end() noexcept;

 private:
  using Clock = std::chrono::steady_clock;
  struct Card {
    Interface interface;
    bool spliced = true;       // else it could not be, and has no card
    std::optional<Slot> slot;  // none: it has no card (yet)
  };
  struct Network {
    std::string key;
    UniqueFd netns, monitor;
    std::vector<Card> cards;
    std::mutex configuring;  // by one; a second container waits for it. Taken before the plug mutex
    bool followed = false, left = false;
    std::optional<Clock::time_point> first_news, last_news;  // that no update has followed yet
  };
  using NetworkPtr = std::shared_ptr<Network>;

  void run() noexcept;
  void follow();
  static Clock::time_point due(const Network& network);
  void wait_for_news(const std::vector<NetworkPtr>& networks);
  void update(Network& network);
  void plug(Network& network, std::vector<Endpoint> endpoints, std::vector<AgentClient::Card>& cards);
  std::vector<Slot> ask_out(Network& network, const std::vector<Interface>& gone);
  void take_out(const std::vector<Slot>& slots) noexcept;
  static void unsplice_all(const Network& network) noexcept;
  void plug_user_card(Network& network);
  static Card* find(Network& network, int index);
  void wake() noexcept;

  std::mutex& plug_mutex_;
  Machine& machine_;
  AgentClient& agent_;
  const std::function<void(const std::string& key)> on_changed_;
  UniqueFd wake_;  // eventfd: what is followed has changed
  // Guarded by plug_mutex_, and so is what is in a Network but for its news, which are the follower's.
  std::map<std::string, NetworkPtr> networks_;
  bool stopped_ = false;
  std::thread follower_;
};

}  // namespace husk::vm
