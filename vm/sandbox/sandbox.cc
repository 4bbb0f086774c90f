#include "vm/sandbox/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/trace.h"
#include "spec/codec.h"
#include "vm/sandbox/oom_report.h"
#include "vm/template/resume.h"
#include "vm/template/template_store.h"

namespace husk::vm {

// stdin, stdout, stderr, husk-shim, network namespace, config.
constexpr size_t kCreateFds = 6;

Sandbox::Sandbox(BootRequest boot)
    : boot_(std::move(boot)),
      folder_(open_file(boot_.folder, O_PATH | O_DIRECTORY)),
      wake_(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {
  if (!boot_.waits) add_container(boot_.id, boot_.takes_all);
  enter_private_mount_namespace();
  std::string folder = path_join(boot_.folder, "share");
  make_dirs(folder, 0755);  // a container's own user namespace has to get through it
  trace::Span share("virtiofsd");
  share_ = Share::start({boot_.virtiofsd, boot_.virtiofs_cache, folder});
  share.end();
  if (!resume_machine()) {
    trace::Span span("start QEMU");
    machine_ = start_qemu(boot_.machine);
    agent_ = std::make_unique<AgentClient>(machine_->take_agent());
  }
  spdlog::debug("virtiofsd and QEMU run");
  connections_ = std::make_unique<Connections>(*agent_);
  networks_ = std::make_unique<Networks>(plug_mutex_, *machine_, *agent_, [this](const std::string& key) {
    connections_->network_changed(key);
  });
  disks_ = std::make_unique<Disks>(plug_mutex_, *machine_, *agent_);
  console_ = std::make_unique<Console>(machine_->take_console());
  boot_thread_ = std::thread([this] { boot_guest(); });
}

Sandbox::~Sandbox() {
  end();
}

void Sandbox::wake() {
  uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

// --- the guest's boot ---

// Whatever is wrong with the template costs time only. False: the VM has to boot.
bool Sandbox::resume_machine() {
  if (boot_.template_folder.empty()) return false;
  TemplateStore templates(boot_.template_folder);
  try {
    SavedVm saved = templates.open(boot_.machine);
    if (!saved) return false;
    machine_ = start_saved(boot_.machine, saved);
    trace::Span resume("resume");
    agent_ = std::make_unique<AgentClient>(machine_->take_agent());  // while QEMU gets ready
    machine_->resume(std::move(saved.state));
    resumed_ = true;
    spdlog::debug("resumed from a template");
  } catch (const Error& e) {
    spdlog::warn("the template is removed, and the VM boots instead: {}", e.what());
    agent_.reset();
    machine_.reset();
    templates.remove(TemplateStore::key(boot_.machine));
  }
  return resumed_;
}

// Returns at once. In a VM that boots, its kernel finds the share without a rescan, since the firmware still
// runs.
std::future<void> Sandbox::plug_share() {
  return std::async(std::launch::async, [this] {
    trace::name_thread("plug");
    trace::Span span("plug share");
    std::lock_guard lock(plug_mutex_);
    require_share();
    machine_->plug_share(Share::kTag, share_->take_socket());
  });
}

void Sandbox::boot_guest() {
  trace::name_thread("boot");
  std::unique_ptr<Error> error;
  try {
    std::future<void> plugged = plug_share();
    trace::Span hello_span("hello");
    AgentClient::Hello hello = agent_->hello("husk", boot_.log_level);
    hello_span.end();
    spdlog::debug("guest kernel {}, agent {}", printable(hello.kernel_release),
                  printable(hello.agent_version));
    plugged.get();
    trace::Span span("mount share");
    agent_->mount_share(Share::kTag, resumed_);
    spdlog::debug("share mounted");
  } catch (const Error& e) {
    error = std::make_unique<Error>(e);
    error->add_context("booting the VM");
  }
  std::lock_guard lock(mutex_);
  booted_ = true;
  boot_error_ = std::move(error);
  booted_changed_.notify_all();
}

void Sandbox::wait_for_guest() {
  std::unique_lock lock(mutex_);
  if (!booted_changed_.wait_for(lock, deadline::kGuestBoot + deadline::kAgentCall,
                                [this] { return booted_; }))
    throw Error(ErrorKind::kTimeout, "the VM did not boot in time", ETIMEDOUT);
  if (boot_error_) throw *boot_error_;
}

void Sandbox::take(const BootRequest& boot) {
  trace::Span span("hello");
  agent_->hello("husk", boot.log_level);
  add_container(boot.id, boot.takes_all);
}

// virtiofsd is two: one in its own pid namespace, and one that waits for it.
std::vector<pid_t> Sandbox::pids() {
  std::lock_guard plug_lock(plug_mutex_);
  require_share();
  std::vector<pid_t> pids = {getpid(), machine_->pid(), share_->pid()};
  const std::string share = std::to_string(share_->pid());
  std::istringstream children(read_file("/proc/" + share + "/task/" + share + "/children"));
  for (pid_t pid; children >> pid;) pids.push_back(pid);
  return pids;
}

void Sandbox::explain_guest_death(Error& error) {
  {
    std::lock_guard lock(mutex_);
    if (ended_) {
      error = Error(ErrorKind::kGuestDied, "husk-sandbox ended the VM meanwhile: " + error.message(),
                    error.errnum());
      return;
    }
  }
  std::lock_guard lock(plug_mutex_);
  if (!share_) return;  // ended since then
  // The connection ends a moment before QEMU does.
  if (wait_pidfd(machine_->pidfd(), std::chrono::seconds(1)))
    while (console_->pump()) {
    }
  std::string words = machine_->last_words();
  std::string console = console_->last_words();
  std::string share = share_->last_words();
  if (error.kind() != ErrorKind::kGuestDied && words.empty()) return;
  std::string text = error.message();
  if (!words.empty()) text += "; QEMU: " + printable(words);
  if (!share.empty()) text += "; virtiofsd: " + printable(share);
  if (!console.empty()) text += "; the guest's last words: " + console;
  error = Error(ErrorKind::kGuestDied, text, error.errnum());
}

void Sandbox::vmm_died() {
  std::lock_guard plug_lock(plug_mutex_);
  // A guest that panics prints its reason just before: read it all.
  while (console_ && console_->pump()) {
  }
  std::string words = machine_->last_words();
  // Not an error line: engines take the last one of those for the answer to their command.
  spdlog::warn("the VM ended by itself{}{}; its console's last lines: {}", words.empty() ? "" : ": ",
               printable(words), console_->tail());
  std::lock_guard lock(mutex_);
  vmm_dead_ = true;
  // One that is still being created has its request to hear it from.
  for (auto& [id, container] : containers_)
    if (container.status != Status::kCreating) container.status = Status::kStopped;
}

void Sandbox::share_died() {
  std::lock_guard plug_lock(plug_mutex_);
  spdlog::warn("virtiofsd ended by itself ({}): ending the VM", printable(share_->last_words()));
  machine_->end();
}

void Sandbox::require_share() {
  if (!share_) throw Error(ErrorKind::kGuestDied, "the VM is ending");
}

// --- create: the recipe ---

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
  if (names.size() != fds.size()) throw Error(ErrorKind::kInvalid, "mounts: names and fds do not match");
  std::lock_guard plug_lock(plug_mutex_);
  require_share();
  for (size_t i = 0; i < names.size(); ++i) share_->add(id, names[i], std::move(fds[i]));
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
  const std::vector<std::string> warnings =
      agent_->create_container(id, config,
                               {body.at("bundle"), body.at("no_pivot"), body.at("no_new_keyring"),
                                process.one_output, std::move(devices), body.at("all_devices")});
  create_span.end();
  spdlog::debug("{} created in the guest", id);
  trace::Span attach("attach");
  relay(id, "", std::move(process), body.at("shim"));
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

void Sandbox::relay(const std::string& id, const std::string& process_id, ProcessFds fds, pid_t shim) {
  std::unique_ptr<AttachStream> stream = agent_->attach(id, process_id);
  Relay::Handlers handlers;
  handlers.signal = [this, id, process_id](int signal) {
    try {
      agent_->signal_process(id, process_id, signal, false);
    } catch (const Error& e) {
      spdlog::debug("signal {} to {}: {}", signal, id, e.what());
    }
  };
  handlers.out_of_memory = [id, shim] {
    try {
      report_oom(shim);
    } catch (const Error& e) {
      spdlog::debug("telling that {} ran out of memory: {}", id, e.what());
    }
  };
  handlers.exited = [this, id, process_id](ExitStatus) { on_exited(id, process_id); };
  handlers.finished = [this, id, process_id] { on_finished(id, process_id); };
  std::lock_guard lock(mutex_);
  ProcessEntry& entry = find(id).processes[process_id];
  entry.shim = shim;
  entry.relay = std::make_unique<Relay>(std::move(stream), std::move(fds), std::move(handlers));
}

// The terminal's size is what it is at this moment: whoever got the master may have set it since the create.
void Sandbox::start_process(const std::string& id, const std::string& process_id) {
  const auto with_relay = [&](auto&& use) {
    std::lock_guard lock(mutex_);
    auto& processes = find(id).processes;
    const auto entry = processes.find(process_id);
    if (entry != processes.end() && entry->second.relay) use(*entry->second.relay);
  };
  std::optional<WindowSize> size;
  with_relay([&](Relay& relay) { size = relay.window_size(); });
  agent_->start_process(id, process_id, size);
  // A change meanwhile may have come to the guest before that size did.
  with_relay([&](Relay& relay) { relay.resize(); });
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

void Sandbox::on_finished(const std::string& id, const std::string& process_id) {
  {
    std::lock_guard lock(mutex_);
    auto found = containers_.find(id);
    if (found != containers_.end()) found->second.processes[process_id].finished = true;
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

// --- later requests ---

Sandbox::Busy::Busy(Sandbox& sandbox) : sandbox_(sandbox) {
  std::lock_guard lock(sandbox_.mutex_);
  ++sandbox_.busy_;
}

Sandbox::Busy::~Busy() {
  std::lock_guard lock(sandbox_.mutex_);
  --sandbox_.busy_;
  sandbox_.wake();
}

Sandbox::Container& Sandbox::find(const std::string& id) {
  auto found = containers_.find(id);
  if (found == containers_.end())
    throw Error(ErrorKind::kNotFound, "container \"" + id + "\" does not exist");
  return found->second;
}

void Sandbox::require(const std::string& id, std::initializer_list<Status> allowed,
                      const std::string& refusal) {
  std::lock_guard lock(mutex_);
  Status status = find(id).status;
  for (Status s : allowed)
    if (status == s) return;
  throw Error(ErrorKind::kWrongState, refusal);
}

void Sandbox::exec(const Json& body, std::vector<UniqueFd>& fds) {
  std::string id = body.at("id");
  if (fds.size() != 4) throw Error(ErrorKind::kInvalid, "exec: expected 4 fds");
  bool ignore_paused = body.at("ignore_paused");
  {
    std::lock_guard lock(mutex_);
    Status status = find(id).status;
    if (status == Status::kPaused && !ignore_paused)
      throw Error(ErrorKind::kWrongState,
                  "cannot exec in a paused container (use --ignore-paused to override)");
    if (status == Status::kStopped) throw Error(ErrorKind::kWrongState, "cannot exec in a stopped container");
  }
  ProcessFds process = ProcessFds::take(fds, body.at("terminal"));
  std::string process_id;
  {
    std::lock_guard lock(mutex_);
    process_id = "exec" + std::to_string(next_process_++);
  }
  trace::Span span("exec");
  agent_->create_process(id, process_id, spec::decode_process(body.at("process").dump()),
                         {body.at("cgroup"), ignore_paused, process.one_output});
  try {
    relay(id, process_id, std::move(process), body.at("shim"));
    start_process(id, process_id);
    span.end();
    collect_trace();
  } catch (...) {
    try {
      agent_->signal_process(id, process_id, SIGKILL, false);
    } catch (const Error& e) {
      spdlog::debug("after a failed exec: {}", e.what());
    }
    throw;
  }
}

// True: its init has ended in the guest, and only its reader kept that from being told.
bool Sandbox::on_signal(const std::string& id, int signal, bool all) {
  std::lock_guard lock(mutex_);
  bool ended = false;
  for (auto& [name, process] : find(id).processes)
    if (process.relay && (all || name.empty())) ended |= process.relay->on_signal(signal) && name.empty();
  return ended;
}

void Sandbox::kill(const std::string& id, int signal, bool all) {
  // Its processes may outlive its init in another's pid namespace.
  if (!all) require(id, {Status::kCreated, Status::kRunning, Status::kPaused}, "container not running");
  if (on_signal(id, signal, all) && !all) return;
  try {
    agent_->signal_process(id, "", signal, all);
  } catch (const Error& e) {
    // It, or the whole VM, may have ended between our look and the signal.
    if (e.kind() == ErrorKind::kNotFound || e.kind() == ErrorKind::kWrongState ||
        e.kind() == ErrorKind::kGuestDied)
      throw Error(ErrorKind::kWrongState, "container not running", ESRCH);
    throw;
  }
}

void Sandbox::set_paused(const std::string& id, bool paused) {
  if (paused) {
    require(id, {Status::kCreated, Status::kRunning}, "cannot pause a container that is not running");
    agent_->pause(id);
  } else {
    require(id, {Status::kPaused}, "container not paused");
    agent_->resume(id);
  }
  std::lock_guard lock(mutex_);
  Container& container = find(id);
  if (container.status != Status::kStopped) container.status = paused ? Status::kPaused : Status::kRunning;
}

// What still ran is told as killed. Output that is on its way is written first, where it has a reader.
void Sandbox::end_relays(std::map<std::string, ProcessEntry>& processes) {
  const auto until = std::chrono::steady_clock::now() + deadline::kLateOutput;
  for (auto& [name, process] : processes)
    if (process.relay) process.relay->hurry();
  for (auto& [name, process] : processes)
    if (process.relay)
      process.relay->wait_finished(std::max(
          std::chrono::milliseconds(0),
          std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now())));
  processes.clear();
}

void Sandbox::remove(const std::string& id) {
  std::map<std::string, ProcessEntry>
      processes;  // their relays end outside of the lock, since they call back
  {
    std::lock_guard lock(mutex_);
    auto found = containers_.find(id);
    if (found == containers_.end()) return;
    found->second.status = Status::kStopped;
  }
  try {
    if (guest_lives()) agent_->remove_container(id);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kNotFound) spdlog::debug("removing {} from the guest: {}", id, e.what());
  }
  {
    std::lock_guard lock(mutex_);
    auto found = containers_.find(id);
    if (found == containers_.end()) return;  // another delete was faster
    processes.swap(found->second.processes);
  }
  end_relays(processes);
  connections_->remove(id);
  {
    std::lock_guard plug_lock(plug_mutex_);
    if (share_) share_->remove(id);
  }
  std::string network;
  {
    std::lock_guard lock(mutex_);
    auto found = containers_.find(id);
    if (found == containers_.end()) return;
    if (found->second.takes_all) end_asked_ = true;
    network = found->second.network;
    containers_.erase(found);
    wake();
  }
  leave_network(network);
  leave_disks(id);
}

Json Sandbox::status(const std::string& id) {
  std::lock_guard lock(mutex_);
  auto found = containers_.find(id);
  return {{"status", status_name(found == containers_.end() ? Status::kStopped : found->second.status)}};
}

Json Sandbox::list_processes(const std::string& id) {
  require(id, {Status::kCreated, Status::kRunning, Status::kPaused}, "container not running");
  Json rows = Json::array();
  for (const GuestProcess& p : agent_->processes(id))
    rows.push_back({{"pid", p.pid},
                    {"ppid", p.ppid},
                    {"uid", p.uid},
                    {"start", p.start_seconds},
                    {"cpu", p.cpu_milliseconds},
                    {"virtual", p.virtual_kib},
                    {"resident", p.resident_kib},
                    {"tty", p.tty},
                    {"state", p.state},
                    {"command", p.command}});
  return {{"processes", rows}};
}

Json Sandbox::list_shims(const std::string& id) {
  std::lock_guard lock(mutex_);
  Json pids = Json::array();
  for (const auto& [name, process] : find(id).processes)
    if (process.shim > 0 && !process.exited) pids.push_back(process.shim);
  return {{"pids", pids}};
}

Json Sandbox::handle(Message& request) {
  const Json& body = request.body;
  std::string op = body.value("op", "");
  try {
    std::string id = body.at("id");
    if (op == "join") {
      add_container(id, body.at("takes_all"));
      return {{"pid", getpid()}};
    } else if (op == "mounts") {
      add_mounts(body, request.fds);
    } else if (op == "connections") {
      add_connections(body, request.fds);
    } else if (op == "create") {
      return create(body, request.fds);
    } else if (op == "start") {
      require(id, {Status::kCreated}, "cannot start a container that is not created");
      {
        trace::Span span("start");
        start_process(id, "");
      }
      collect_trace();
      spdlog::debug("{} started", id);
      std::lock_guard lock(mutex_);
      Container& container = find(id);
      if (container.status == Status::kCreated) container.status = Status::kRunning;
    } else if (op == "exec") {
      exec(body, request.fds);
    } else if (op == "status") {
      return status(id);
    } else if (op == "kill") {
      kill(id, body.at("signal"), body.at("all"));
    } else if (op == "pause" || op == "resume") {
      set_paused(id, op == "pause");
    } else if (op == "ps") {
      return list_processes(id);
    } else if (op == "shims") {
      return list_shims(id);
    } else if (op == "stats") {
      return {{"stats", agent_->stats(id)}};
    } else if (op == "update") {
      return {{"warnings", agent_->update(id, spec::decode_resources(body.at("resources").dump()))}};
    } else if (op == "remove") {
      remove(id);
      return {{"heir", heir()}};
    } else {
      throw Error(ErrorKind::kInvalid, "unknown request \"" + printable(op) + "\"");
    }
    return Json::object();
  } catch (Error& e) {
    if (e.kind() == ErrorKind::kGuestDied || e.kind() == ErrorKind::kTimeout) explain_guest_death(e);
    throw;
  }
}

// --- the end ---

bool Sandbox::guest_lives() {
  std::lock_guard lock(mutex_);
  return booted_ && !boot_error_ && !vmm_dead_;
}

bool Sandbox::any_lives() {
  std::lock_guard lock(mutex_);
  for (const auto& [id, container] : containers_)
    if (container.status != Status::kStopped) return true;
  return false;
}

bool Sandbox::idle() const {
  return std::all_of(containers_.begin(), containers_.end(), [](const auto& c) { return c.second.over(); });
}

bool Sandbox::tend() {
  uint64_t count;
  (void)!read(wake_.get(), &count, sizeof count);
  std::vector<std::unique_ptr<Relay>> finished;  // destroyed outside of the lock
  std::unique_lock lock(mutex_);
  for (auto& [id, container] : containers_) {
    for (auto it = container.processes.begin(); it != container.processes.end();) {
      if (it->second.finished && it->second.relay) finished.push_back(std::move(it->second.relay));
      it = it->second.finished ? container.processes.erase(it) : std::next(it);
    }
  }
  bool over = busy_ == 0 && (end_asked_ || (had_container_ && idle()));
  lock.unlock();
  return over;
}

void Sandbox::end() noexcept {
  {
    std::lock_guard lock(mutex_);
    if (ended_) return;
    ended_ = true;
  }
  try {
    // What a container wrote is on the host when its end is told.
    if (agent_ && guest_lives() && any_lives()) agent_->shutdown();
  } catch (const Error& e) {
    spdlog::debug("the guest's shutdown: {}", e.what());
  }
  if (networks_) networks_->stop();
  if (connections_) connections_->stop();
  trace::Span span("end QEMU");
  if (machine_) {
    std::lock_guard plug_lock(plug_mutex_);
    machine_->end();
  }
  if (boot_thread_.joinable()) boot_thread_.join();
  std::map<std::string, Container> containers;
  {
    std::lock_guard lock(mutex_);
    containers.swap(containers_);
  }
  for (auto& [id, container] : containers) end_relays(container.processes);
  if (networks_) networks_->end();
  if (connections_) connections_->end();
  std::lock_guard plug_lock(plug_mutex_);
  share_.reset();  // from here on no create gets anywhere
  unlinkat(folder_.get(), "share", AT_REMOVEDIR);
  std::error_code error;
  rmdir(std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(folder_.get()), error).c_str());
  spdlog::debug("the VM is gone");
}

}  // namespace husk::vm
