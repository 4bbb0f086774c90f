#include "vm/sandbox/connections.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "agent/wire/wire.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/trace.h"
#include "vm/net/resolver.h"
#include "vm/sandbox/host_socket.h"
#include "vm/sandbox/limits.h"

namespace husk::vm {
namespace {

constexpr size_t kMaxResolvConf = 64u << 10;
constexpr std::string_view kContainer = "husk:";

// Its beginning; a file that cannot be read names nothing.
std::string read_resolv_conf(int fd) {
  std::string text(kMaxResolvConf, '\0');
  const ssize_t n = pread(fd, text.data(), text.size(), 0);
  text.resize(n < 0 ? 0 : static_cast<size_t>(n));
  return text;
}

// To the end, ours (heed: false) or the stream's. What goes wrong with it ends it.
template <typename F>
void hear(ListenStream& stream, const std::string& name, F&& heed) noexcept {
  try {
    for (ListenStream::News news; stream.read(news);)
      if (!heed(news)) return;
  } catch (const std::exception& e) {  // no memory
    spdlog::warn("{} cannot be reached any more: {}", name, e.what());
    stream.cancel();
  }
}

}  // namespace

Connections::Connections(AgentClient& agent) : agent_(agent) {}

Connections::~Connections() {
  end();
}

// --- what containers bring ---

void Connections::add(const std::string& id, std::vector<HostSocket> sockets, UniqueFd resolv_conf) {
  std::lock_guard lock(mutex_);
  Container& container = containers_[id];
  for (HostSocket& socket : sockets) container.sockets.push_back(std::move(socket));
  if (resolv_conf) container.resolv_conf = std::move(resolv_conf);
}

void Connections::open(const std::string& id, const spec::Config& config, const std::string& network,
                       int netns) {
  std::lock_guard lock(mutex_);
  if (stopped_) return;
  Container& container = containers_[id];
  container.network = network;
  container.netns = dup_fd(netns);
  map_ids(container, config);
  open_sockets(id, container);
  open_dns(container);
}

void Connections::map_ids(Container& container, const spec::Config& config) const {
  if (!config.linux_) return;
  container.uids = config.linux_->uid_mappings;
  container.gids = config.linux_->gid_mappings;
  const spec::Namespace* user = config.linux_->find_namespace(spec::NamespaceType::kUser);
  if (!user || !user->path.starts_with(kContainer)) return;
  const auto owner = containers_.find(user->path.substr(kContainer.size()));
  if (owner == containers_.end())
    throw Error(ErrorKind::kInternal, "the user namespace's container has gone");
  container.uids = owner->second.uids;
  container.gids = owner->second.gids;
}

void Connections::open_sockets(const std::string& id, Container& container) {
  for (size_t i = 0; i < container.sockets.size(); ++i)
    with_context("mounting " + container.sockets[i].destination, [&] {
      trace::Span span("socket");
      auto file = std::make_shared<UniqueFd>(dup_fd(container.sockets[i].file.get()));
      struct stat st {};
      check(fstat(file->get(), &st), "stat of the socket");
      Listener& listener = container.listeners.emplace_back();
      listener.stream =
          agent_.listen(GuestSocket{id, static_cast<unsigned>(i), st.st_mode & 07777u, st.st_uid, st.st_gid});
      auto target = std::make_shared<Target>();
      target->name = container.sockets[i].destination;
      target->connect = [this, file, uids = container.uids,
                         gids = container.gids](const ListenStream::News& news) {
        const Caller caller{news.uid, news.gid, news.groups};
        check_caller(caller, uids, gids);
        return connect_as(file->get(), caller, stopped_);
      };
      listen_for_connections(listener, std::move(target));
    });
}

// --- the network's DNS ---

void Connections::open_dns(const Container& container) {
  if (dns_.count(container.network) || !container.resolv_conf) return;
  if (!names_embedded_dns(read_resolv_conf(container.resolv_conf.get()))) return;
  Dns& dns = dns_[container.network];
  try {
    make_dns(container, dns);
    spdlog::debug("Docker's embedded DNS can be asked");
  } catch (const std::exception& e) {
    spdlog::warn("Docker's embedded DNS does not work in this container: {}", e.what());
    end(dns);
    dns_.erase(container.network);
  }
}

void Connections::make_dns(const Container& container, Dns& dns) {
  trace::Span span("embedded DNS");
  auto netns = std::make_shared<UniqueFd>(dup_fd(container.netns.get()));
  try {
    let_resolver_through(netns->get());
  } catch (const Error& e) {
    spdlog::warn("Docker's embedded DNS gets no answers of other servers: {}", e.what());
  }
  GuestPort port{container.network, kEmbeddedDns, kDnsPort, true};
  dns.udp.stream = agent_.listen(port);
  dns.questions = std::make_unique<DnsQuestions>(
      netns, embedded_dns(),
      [&udp = *dns.udp.stream](const std::string& peer, std::string_view data) { udp.answer(peer, data); });
  dns.udp.thread = std::thread([&udp = *dns.udp.stream, &questions = *dns.questions] {
    trace::name_thread("dns");
    hear(udp, "Docker's embedded DNS", [&](const ListenStream::News& news) {
      if (news.event == ListenStream::Event::kQuestion) questions.ask(news.peer, news.data);
      return true;
    });
  });
  port.datagrams = false;
  dns.tcp.stream = agent_.listen(port);
  auto target = std::make_shared<Target>();
  target->name = "Docker's embedded DNS";
  target->connect = [this, netns](const ListenStream::News&) {
    return connect_in(netns->get(), SOCK_STREAM, embedded_dns(), stopped_);
  };
  listen_for_connections(dns.tcp, std::move(target));
}

void Connections::network_changed(const std::string& network) noexcept {
  try {
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    for (const auto& [id, container] : containers_) {
      if (container.network != network) continue;
      if (dns_.count(network)) return let_resolver_through(container.netns.get());
      open_dns(container);
    }
  } catch (const std::exception& e) {
    spdlog::warn("Docker's embedded DNS: {}", e.what());
  }
}

// --- connections ---

void Connections::listen_for_connections(Listener& listener, TargetPtr target) {
  listener.target = target;
  listener.thread = std::thread([this, &stream = *listener.stream, target = std::move(target)] {
    trace::name_thread("listener");
    hear(stream, target->name, [&](const ListenStream::News& news) {
      if (news.event != ListenStream::Event::kConnection) return true;
      if (!take_slot(*target)) return false;
      begin(news, target);
      return true;
    });
  });
}

// Waits while there are too many, of this target or of all; false: nobody wants it any more.
bool Connections::take_slot(Target& target) {
  std::unique_lock lock(running_mutex_);
  running_changed_.wait(lock, [&] {
    return stopped_ || target.over ||
           (target.running < wire::kMaxConnections && running_ < kMaxVmConnections);
  });
  if (stopped_ || target.over) return false;
  ++target.running;
  ++running_;
  return true;
}

void Connections::give_slot_back(Target& target) {
  std::lock_guard lock(running_mutex_);
  --target.running;
  --running_;
  running_changed_.notify_all();
}

void Connections::begin(const ListenStream::News& news, const TargetPtr& target) noexcept {
  const auto refused = [target](const std::exception& e) {
    // One warning: how often it is tried is the guest's to say.
    const bool told = target->told.exchange(true);
    spdlog::log(told ? spdlog::level::debug : spdlog::level::warn, "a connection to {} is refused: {}",
                target->name, e.what());
  };
  try {
    std::thread([this, news, target, refused] {
      trace::name_thread("connection");
      try {
        carry(news, *target);
      } catch (const std::exception& e) {
        refused(e);
      }
      give_slot_back(*target);
    }).detach();
  } catch (const std::exception& e) {  // no more threads
    refused(e);
    refuse(news.connection);
    give_slot_back(*target);
  }
}

// One that nobody takes would keep its place in the guest until its listener's end.
void Connections::refuse(uint64_t connection) noexcept {
  try {
    agent_.refuse(connection);
  } catch (const std::exception& e) {
    spdlog::warn("a connection is left to the guest: {}", e.what());
  }
}

// Throws when there is nothing to carry it to; the guest's end is reset then.
void Connections::carry(const ListenStream::News& news, const Target& target) {
  std::unique_ptr<CarryStream> stream;
  try {
    stream = agent_.carry(news.connection);
  } catch (...) {
    refuse(news.connection);
    throw;
  }
  UniqueFd socket = target.connect(news);
  {
    std::lock_guard lock(running_mutex_);
    if (stopped_) return;
    carried_.insert(stream.get());
  }
  const std::shared_ptr<void> carried(nullptr, [&](void*) {
    std::lock_guard lock(running_mutex_);
    carried_.erase(stream.get());
  });
  stream->run(std::move(socket));
}

// --- the end ---

void Connections::stop(Listener& listener) noexcept {
  if (listener.stream) listener.stream->cancel();
  if (listener.target) {
    std::lock_guard lock(running_mutex_);
    listener.target->over = true;
    running_changed_.notify_all();
  }
  if (listener.thread.joinable()) listener.thread.join();
}

void Connections::end(Container& container) noexcept {
  for (Listener& listener : container.listeners) stop(listener);
}

// The questions are asked by one thread, and answered in another: both are over before their stream goes.
void Connections::end(Dns& dns) noexcept {
  stop(dns.tcp);
  stop(dns.udp);
  dns.questions.reset();
}

void Connections::remove(const std::string& id) noexcept {
  std::lock_guard lock(mutex_);
  const auto found = containers_.find(id);
  if (found == containers_.end()) return;
  const std::string network = found->second.network;
  end(found->second);
  containers_.erase(found);
  const auto dns = dns_.find(network);
  if (dns == dns_.end()) return;
  if (std::ranges::any_of(containers_, [&](const auto& c) { return c.second.network == network; })) return;
  end(dns->second);
  dns_.erase(dns);
}

void Connections::stop() noexcept {
  std::lock_guard lock(running_mutex_);
  stopped_ = true;
  for (CarryStream* stream : carried_) stream->cancel();
  running_changed_.notify_all();
}

void Connections::end() noexcept {
  stop();
  std::lock_guard lock(mutex_);
  for (auto& [id, container] : containers_) end(container);
  for (auto& [network, dns] : dns_) end(dns);
  containers_.clear();
  dns_.clear();
  std::unique_lock running(running_mutex_);
  running_changed_.wait(running, [this] { return running_ == 0; });
}

}  // namespace husk::vm
