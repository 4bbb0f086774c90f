#include "vm/sandbox/networks.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "vm/net/monitor.h"
#include "vm/net/user_network.h"

namespace husk::vm {

Networks::Networks(std::mutex& plug_mutex, Machine& machine, AgentClient& agent,
                   std::function<void(const std::string& key)> on_changed)
    : plug_mutex_(plug_mutex),
      machine_(machine),
      agent_(agent),
      on_changed_(std::move(on_changed)),
      wake_(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {}

Networks::~Networks() {
  end();
}

void Networks::wake() noexcept {
  uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

Networks::Card* Networks::find(Network& network, int index) {
  const auto found =
      std::ranges::find(network.cards, index, [](const Card& card) { return card.interface.index; });
  return found == network.cards.end() ? nullptr : &*found;
}

void Networks::enter(int netns, const std::string& key, bool host) {
  if (networks_.count(key)) return;
  auto network = std::make_shared<Network>();
  network->key = key;
  network->netns = dup_fd(netns);
  if (host) {
    plug_user_card(*network);
    networks_[key] = network;
    return;
  }
  network->monitor = open_network_monitor(netns);  // before the scan: nothing falls in between
  std::vector<Endpoint> endpoints = splice_namespace(netns);
  networks_[key] = network;
  std::vector<AgentClient::Card> cards;
  plug(*network, std::move(endpoints), cards);
}

// Without a monitor: what changes on the host is not this card's matter.
void Networks::plug_user_card(Network& network) {
  struct stat wanted {
  }, own{};
  check(fstat(network.netns.get(), &wanted), "stat of the network namespace");
  check(stat("/proc/self/ns/net", &own), "stat of /proc/self/ns/net");
  if (wanted.st_dev != own.st_dev || wanted.st_ino != own.st_ino)
    throw Error(ErrorKind::kUnsupported, "the VM was made in another network namespace than this host's");
  const Interface card = user_network_card();
  network.cards.push_back({card, false, machine_.plug_user_network(card.mac, card.mtu)});
}

// One that cannot be plugged ends it; the rest stays spliced until its interface or the network goes.
void Networks::plug(Network& network, std::vector<Endpoint> endpoints,
                    std::vector<AgentClient::Card>& cards) {
  const size_t first = network.cards.size();
  for (const Endpoint& endpoint : endpoints) network.cards.push_back({endpoint.interface, true, {}});
  for (size_t i = 0; i < endpoints.size(); ++i) {
    const Interface& interface = endpoints[i].interface;
    const Slot slot = machine_.plug_network(std::move(endpoints[i].tap_fd), interface.mac, interface.mtu);
    network.cards[first + i].slot = slot;
    cards.push_back({slot.port, interface, {}});
  }
}

void Networks::configure(const std::string& key) {
  NetworkPtr network;
  {
    std::lock_guard lock(plug_mutex_);
    const auto found = networks_.find(key);
    if (found == networks_.end()) return;
    network = found->second;
  }
  std::lock_guard configuring(network->configuring);
  std::vector<AgentClient::Card> cards;
  {
    std::lock_guard lock(plug_mutex_);
    if (network->followed || network->left) return;
    for (const Card& card : network->cards)
      if (card.slot) cards.push_back({card.slot->port, card.interface, {}});
  }
  if (!cards.empty()) agent_.configure_network(key, cards);
  std::lock_guard lock(plug_mutex_);
  if (stopped_ || network->left) return;
  network->followed = true;
  if (!follower_.joinable()) follower_ = std::thread([this] { run(); });
  wake();
}

// --- later changes ---

// When what was made is taken for complete.
Networks::Clock::time_point Networks::due(const Network& network) {
  return std::min(*network.last_news + deadline::kNetworkSettled,
                  *network.first_news + deadline::kNetworkSettling);
}

void Networks::run() noexcept {
  try {
    follow();
  } catch (const std::exception& e) {  // no memory
    spdlog::warn("the containers' networks are not followed any more: {}", e.what());
  }
}

void Networks::follow() {
  for (;;) {
    std::vector<NetworkPtr> networks;
    {
      std::lock_guard lock(plug_mutex_);
      if (stopped_) return;
      for (const auto& [key, network] : networks_)
        if (network->followed) networks.push_back(network);
    }
    wait_for_news(networks);
    for (const NetworkPtr& network : networks) {
      if (!network->first_news || Clock::now() < due(*network)) continue;
      network->first_news.reset();
      try {
        update(*network);
        on_changed_(network->key);
      } catch (const std::exception& e) {
        spdlog::warn("following the container's network: {}", e.what());
      }
    }
  }
}

// Until there are some, or those that came have settled.
void Networks::wait_for_news(const std::vector<NetworkPtr>& networks) {
  std::vector<pollfd> fds = {{wake_.get(), POLLIN, 0}};
  auto until = Clock::time_point::max();
  for (const NetworkPtr& network : networks) {
    fds.push_back({network->monitor.get(), POLLIN, 0});
    if (network->first_news) until = std::min(until, due(*network));
  }
  int timeout = -1;
  if (until != Clock::time_point::max()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    timeout = static_cast<int>(std::max<decltype(left)>(left, 0));
  }
  if (poll(fds.data(), fds.size(), timeout) < 0) return;  // EINTR: the caller comes again
  uint64_t count;
  if (fds[0].revents) (void)!read(wake_.get(), &count, sizeof count);
  for (size_t i = 0; i < networks.size(); ++i)
    if (fds[i + 1].revents && network_changed(networks[i]->monitor.get())) {
      networks[i]->last_news = Clock::now();
      if (!networks[i]->first_news) networks[i]->first_news = networks[i]->last_news;
    }
}

// What goes first: its ports are free then, and its names, in the guest.
void Networks::update(Network& network) {
  Changes changes;
  std::vector<Slot> gone;
  {
    std::lock_guard lock(plug_mutex_);
    if (stopped_ || network.left) return;
    std::vector<Interface> known;
    for (const Card& card : network.cards) known.push_back(card.interface);
    changes = update_splices(network.netns.get(), known);
    gone = ask_out(network, changes.gone);
  }
  take_out(gone);
  std::vector<AgentClient::Card> cards;
  {
    std::lock_guard lock(plug_mutex_);
    if (stopped_ || network.left) return;
    for (const Interface& interface : changes.changed) {
      Card& card = *find(network, interface.index);
      if (card.slot) cards.push_back({card.slot->port, interface, card.interface});
      card.interface = interface;
    }
    for (const Interface& interface : changes.refused) network.cards.push_back({interface, false, {}});
    try {
      plug(network, std::move(changes.added), cards);
    } catch (const Error& e) {
      spdlog::warn("{}", e.what());  // the others' turn is now, all the same
    }
  }
  if (cards.empty()) return;
  spdlog::debug("the network has changed: {} cards are set up", cards.size());
  agent_.configure_network(network.key, cards);
}

std::vector<Slot> Networks::ask_out(Network& network, const std::vector<Interface>& gone) {
  std::vector<Slot> slots;
  for (const Interface& interface : gone) {
    const Card* card = find(network, interface.index);
    if (card && card->slot) slots.push_back(*card->slot);
    std::erase_if(network.cards, [&](const Card& c) { return c.interface.index == interface.index; });
  }
  std::erase_if(slots, [&](const Slot& slot) {
    try {
      machine_.ask_unplug(slot);
      return false;
    } catch (const Error& e) {
      spdlog::warn("{}", e.what());
      return true;
    }
  });
  return slots;
}

// A guest that does not let go has a card without a wire.
void Networks::take_out(const std::vector<Slot>& slots) noexcept {
  for (const Slot& slot : slots) {
    std::chrono::milliseconds patience = deadline::kUnplug;
    try {
      agent_.unplug(slot.port);
    } catch (const std::exception& e) {
      spdlog::warn("{}", e.what());
      patience = patience.zero();
    }
    try {
      std::lock_guard lock(plug_mutex_);
      if (!stopped_) machine_.finish_unplug(slot, patience);
    } catch (const std::exception& e) {
      spdlog::warn("{}", e.what());
    }
  }
}

// --- the end ---

void Networks::unsplice_all(const Network& network) noexcept {
  std::vector<Interface> interfaces;
  for (const Card& card : network.cards)
    if (card.spliced) interfaces.push_back(card.interface);
  unsplice(network.netns.get(), interfaces);
}

void Networks::leave(const std::string& key) noexcept {
  std::vector<Slot> slots;
  try {
    std::lock_guard lock(plug_mutex_);
    const auto found = networks_.find(key);
    if (found == networks_.end() || stopped_) return;
    const NetworkPtr network = found->second;
    networks_.erase(found);
    network->left = true;
    unsplice_all(*network);
    std::vector<Interface> all;
    for (const Card& card : network->cards) all.push_back(card.interface);
    slots = ask_out(*network, all);
  } catch (const std::exception& e) {
    spdlog::warn("leaving a network: {}", e.what());
  }
  wake();
  take_out(slots);
}

void Networks::stop() noexcept {
  {
    std::lock_guard lock(plug_mutex_);
    stopped_ = true;
  }
  wake();
}

void Networks::end() noexcept {
  stop();
  if (follower_.joinable()) follower_.join();
  std::lock_guard lock(plug_mutex_);
  for (const auto& [key, network] : networks_) unsplice_all(*network);
  networks_.clear();
}

}  // namespace husk::vm
