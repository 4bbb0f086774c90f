// Create: the recipe, and what follows a process from its birth to its end.
#include "vm/sandbox/sandbox.h"

#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "libcontainer/base/file.h"
#include "libcontainer/base/trace.h"
#include "spec/codec.h"
#include "vm/sandbox/oom_report.h"

namespace husk::vm {

// stdin, stdout, stderr, husk-shim, network namespace, config.
constexpr size_t kCreateFds = 6;

// From here on the VM waits for it.
void Sandbox::add_container(const std::string& id, bool takes_all) {
  std::lock_guard lock(mutex_);
  if (ended_ || end_asked_ || vmm_dead_ || (had_container_ && idle()))
    throw Error(ErrorKind::kWrongState, "the VM is ending");
  auto [container, is_new] = containers_.try_emplace(id);
  if (!is_new) throw Error(ErrorKind::kExists, "container \"" + id + "\" already exists in this sandbox");
  container->second.takes_all = takes_all;
  had_container_ = true;
}

void Sandbox::add_mounts(const Json& body, std::vector<UniqueFd>& fds) {
  const std::string id = body.at("id");
  const auto names = body.at("names").get<std::vector<std::string>>();
  const auto watched = body.at("watched").get<std::vector<bool>>();
  if (names.size() != fds.size() || names.size() != watched.size())
    throw Error(ErrorKind::kInvalid, "mounts: names and fds do not match");
  std::lock_guard plug_lock(plug_mutex_);
  require_share();
  for (size_t i = 0; i < names.size(); ++i) {
    if (watched[i]) changes_->add(id, Share::guest_path(id, names[i]), dup_fd(fds[i].get()));
    share_->add(id, names[i], std::move(fds[i]));
  }
}

void Sandbox::add_connections(const Json& body, std::vector<UniqueFd>& fds) {
  const auto destinations = body.at("sockets").get<std::vector<std::string>>();
  const size_t resolv_conf = body.at("resolv_conf") ? 1 : 0;
  if (fds.size() != destinations.size() + resolv_conf)
    throw Error(ErrorKind::kInvalid, "connections: destinations and fds do not match");
  std::vector<HostSocket> sockets;
  for (size_t i = 0; i < destinations.size(); ++i)
    sockets.push_back({destinations[i], std::move(fds[i + resolv_conf])});
  connections_->add(body.at("id"), std::move(sockets), resolv_conf ? std::move(fds[0]) : UniqueFd());
}

void Sandbox::leave_network(const std::string& key) {
  {
    std::lock_guard lock(mutex_);
    if (end_asked_ || idle()) return;  // the VM's end is the cards', too
    for (const auto& [id, container] : containers_)
      if (container.network == key) return;
  }
  networks_->leave(key);
}

// The VM's end is the disks', too.
void Sandbox::leave_disks(const std::string& id) {
  {
    std::lock_guard lock(mutex_);
    if (end_asked_ || idle()) return;
  }
  disks_->leave(id);
}

// Of fds those behind create's own, in the order in which devices want one. With plug_mutex_ held.
std::vector<AgentClient::Device> Sandbox::plug_devices(const std::string& id, const Json& wanted,
                                                       std::vector<UniqueFd>& fds) {
  std::vector<AgentClient::Device> devices;
  size_t next = kCreateFds;
  for (const Json& device : wanted) {
    AgentClient::Device& out = devices.emplace_back();
    out.path = device.at("path");
    out.name = device.at("name");
    if (!out.name.empty()) continue;
    with_context("--device " + printable(out.path), [&] {
      Disks::Wanted disk{device.at("key"), {}, device.at("readonly"), device.at("in_use")};
      if (device.at("fd")) disk.fd = std::move(fds.at(next++));
      out.port = disks_->plug(id, std::move(disk));
    });
  }
  return devices;
}

Json Sandbox::create(const Json& body, std::vector<UniqueFd>& fds) {
  std::string id = body.at("id");
  if (fds.size() < kCreateFds) throw Error(ErrorKind::kInvalid, "create: expected 6 fds");
  spec::Config config = spec::decode_config(read_all(fds[5].get(), kMaxSmallFile, "reading the config"));
  struct stat netns {};
  check(fstat(fds[4].get(), &netns), "stat of the network namespace");
  const std::string network = std::to_string(netns.st_dev) + "-" + std::to_string(netns.st_ino);
  ProcessFds process = ProcessFds::take(fds, body.at("terminal"));
  std::vector<AgentClient::Device> devices;
  {
    // Not held while we wait for the guest: its boot needs it too.
    std::lock_guard plug_lock(plug_mutex_);
    require_share();
    {
      std::lock_guard lock(mutex_);
      find(id).network = network;
    }
    trace::Span span("network");
    with_context("network", [&] { networks_->enter(fds[4].get(), network, body.at("host_network")); });
    devices = plug_devices(id, body.at("devices"), fds);
  }
  {
    trace::Span span("wait for the guest");
    wait_for_guest();
  }
  {
    trace::Span span("configure network");
    with_context("network", [&] { networks_->configure(network); });
  }
  connections_->open(id, config, network, fds[4].get());
  trace::Span create_span("create");
  auto [stream, warnings] =
      agent_->create_container(id, config,
                               {body.at("bundle"), body.at("no_pivot"), body.at("no_new_keyring"),
                                process.one_output, std::move(devices), body.at("all_devices")});
  create_span.end();
  spdlog::debug("{} created in the guest", id);
  relay(id, "", std::move(stream), std::move(process), body.at("shim"));
  std::lock_guard lock(mutex_);
  Container& container = find(id);
  if (container.status == Status::kCreating)
    container.status = Status::kCreated;  // else it was killed at the gate
  return {{"warnings", warnings}};
}

void Sandbox::forsake(const std::string& id) noexcept {
  try {
    remove(id);
  } catch (const std::exception& e) {
    spdlog::debug("removing {}: {}", id, e.what());
  }
}

bool Sandbox::is_only(const std::string& id) {
  std::lock_guard lock(mutex_);
  return std::all_of(containers_.begin(), containers_.end(), [&](const auto& c) { return c.first == id; });
}

// Some other container for which the VM lives on, or nothing.
std::string Sandbox::heir() {
  std::lock_guard lock(mutex_);
  if (!end_asked_ && !ended_ && !vmm_dead_)
    for (const auto& [id, container] : containers_)
      if (!container.over()) return id;
  return "";
}

void Sandbox::relay(const std::string& id, const std::string& process_id,
                    std::unique_ptr<AttachStream> stream, ProcessFds fds, pid_t shim) {
  Relay::Handlers handlers;
  handlers.signal = [this, id, process_id](int signal) {
    try {
      agent_->signal_process(id, process_id, signal);
    } catch (const std::exception& e) {
      spdlog::debug("signal {} to {}: {}", signal, id, e.what());
    }
  };
  handlers.out_of_memory = [id, shim] {
    try {
      report_oom(shim);
    } catch (const std::exception& e) {
      spdlog::debug("telling that {} ran out of memory: {}", id, e.what());
    }
  };
  handlers.exited = [this, id, process_id](ExitStatus) { on_exited(id, process_id); };
  handlers.complete = [this, id, process_id] { on_complete(id, process_id); };
  handlers.finished = [this, id, process_id] { on_finished(id, process_id); };
  {
    std::lock_guard lock(mutex_);
    find(id).processes[process_id].shim = shim;
  }
  std::unique_ptr<Relay> relay;  // made, and where that fails ended, outside of the lock: it calls back
  try {
    relay = std::make_unique<Relay>(std::move(stream), std::move(fds), std::move(handlers));
  } catch (...) {
    std::lock_guard lock(mutex_);
    const auto found = containers_.find(id);
    if (found != containers_.end()) found->second.processes.erase(process_id);
    throw;
  }
  std::lock_guard lock(mutex_);
  auto& processes = find(id).processes;
  const auto entry = processes.find(process_id);
  if (entry == processes.end())
    throw Error(ErrorKind::kWrongState, "container \"" + id + "\" is being removed");
  entry->second.relay = std::move(relay);
  wake();  // it may have finished meanwhile
}

void Sandbox::on_exited(const std::string& id, const std::string& process_id) {
  std::lock_guard lock(mutex_);
  auto found = containers_.find(id);
  if (found == containers_.end()) return;
  auto& processes = found->second.processes;
  if (const auto entry = processes.find(process_id); entry != processes.end()) entry->second.exited = true;
  spdlog::debug("{} {} has ended", id, process_id);
  if (process_id.empty()) {
    found->second.status = Status::kStopped;
    // The kernel kills the others of its pid namespace.
    for (auto& [name, process] : processes)
      if (process.relay) process.relay->on_signal(SIGKILL);
  }
  if (process_id.empty() && found->second.takes_all) {
    end_asked_ = true;
    wake();
  }
}

// Of the last process of all: the VM need not live until the guest has ended the stream.
void Sandbox::on_complete(const std::string& id, const std::string& process_id) {
  {
    std::lock_guard lock(mutex_);
    auto found = containers_.find(id);
    if (found == containers_.end()) return;
    const auto entry = found->second.processes.find(process_id);
    if (entry != found->second.processes.end()) entry->second.complete = true;
  }
  wake();
}

void Sandbox::on_finished(const std::string& id, const std::string& process_id) {
  {
    std::lock_guard lock(mutex_);
    auto found = containers_.find(id);
    if (found == containers_.end()) return;
    const auto entry = found->second.processes.find(process_id);
    if (entry != found->second.processes.end()) entry->second.finished = true;
  }
  wake();
}

// The guest's pids begin anew in each VM, so they get numbers above the host's.
void Sandbox::collect_trace() noexcept {
  if (!trace::on()) return;
  constexpr pid_t kGuestPids = 1'000'000'000, kPidsOfOne = 100'000, kVms = 10'000;
  const auto number = [](pid_t pid) {
    return kGuestPids + getpid() % kVms * kPidsOfOne +
           static_cast<pid_t>(static_cast<uint32_t>(pid) % kPidsOfOne);
  };
  try {
    for (trace::Event& event : agent_->take_trace()) {
      event.pid = number(event.pid);
      event.tid = number(event.tid);
      trace::add(std::move(event));
    }
  } catch (const Error& e) {
    spdlog::warn("the guest's trace: {}", e.what());
  }
}

}  // namespace husk::vm
