// What every later request does.
#include "vm/sandbox/sandbox.h"

#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/trace.h"
#include "spec/codec.h"

namespace husk::vm {

// stdin, stdout, stderr, husk-shim, process.
constexpr size_t kExecFds = 5;

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

template <typename F>
void Sandbox::with_relay(const std::string& id, const std::string& process_id, F&& use) {
  std::lock_guard lock(mutex_);
  auto& processes = find(id).processes;
  const auto entry = processes.find(process_id);
  if (entry != processes.end() && entry->second.relay) use(*entry->second.relay);
}

// The terminal's size is what it is at this moment: whoever got the master may have set it since the create.
void Sandbox::start(const std::string& id, std::chrono::seconds hooks) {
  require(id, {Status::kCreated}, "cannot start a container that is not created");
  {
    trace::Span span("start");
    std::optional<WindowSize> size;
    with_relay(id, "", [&](Relay& relay) { size = relay.window_size(); });
    agent_->start_container(id, size, hooks);
    // A change meanwhile may have come to the guest before that size did.
    with_relay(id, "", [&](Relay& relay) { relay.resize(); });
  }
  collect_trace();
  spdlog::debug("{} started", id);
  {
    std::lock_guard lock(mutex_);
    Container& container = find(id);
    if (container.status == Status::kCreated) container.status = Status::kRunning;
  }
  watch_volumes(id);
}

void Sandbox::exec(const Json& body, std::vector<UniqueFd>& fds) {
  std::string id = body.at("id");
  if (fds.size() != kExecFds) throw Error(ErrorKind::kInvalid, "exec: expected 5 fds");
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
  const spec::Process wanted =
      spec::decode_process(read_all(fds[4].get(), kMaxSmallFile, "reading the process"));
  // One that is late may be there all the same.
  try {
    std::unique_ptr<AttachStream> stream =
        agent_->exec(id, process_id, wanted,
                     {body.at("cgroup"), ignore_paused, process.one_output, process.window_size()});
    span.end();
    relay(id, process_id, std::move(stream), std::move(process), body.at("shim"));
    // The terminal may have changed since.
    with_relay(id, process_id, [&](Relay& relay) { relay.resize(); });
    collect_trace();
  } catch (...) {
    try {
      agent_->signal_process(id, process_id, SIGKILL);
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
    if (all)
      agent_->signal_all(id, signal);
    else
      agent_->signal_process(id, "", signal);
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
    if (process.relay && !process.complete)
      process.relay->wait_finished(std::max(
          std::chrono::milliseconds(0),
          std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now())));
  processes.clear();
}

void Sandbox::watch_volumes(const std::string& id) noexcept {
  changes_->begin(id, [this] {
    std::lock_guard plug_lock(plug_mutex_);
    return share_ ? share_->pids() : std::vector<pid_t>();
  });
}

void Sandbox::remove(const std::string& id) {
  std::map<std::string, ProcessEntry>
      processes;  // their relays end outside of the lock, since they call back
  bool dies_with_vm = false;
  {
    std::lock_guard lock(mutex_);
    auto found = containers_.find(id);
    if (found == containers_.end()) return;
    // The guest need not tidy up what ends with it.
    dies_with_vm = idle();
    found->second.status = Status::kStopped;
  }
  try {
    if (!dies_with_vm && guest_lives()) agent_->remove_container(id);
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
  changes_->remove(id);
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
    processes.swap(found->second.processes);  // of an exec meanwhile
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

// Into a file of the asker's: their arguments may be more than a message holds.
void Sandbox::list_processes(const std::string& id, int file) {
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
  write_all(file, rows.dump(-1, ' ', false, Json::error_handler_t::replace), "writing the list of processes");
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
      start(id, std::chrono::seconds(body.value("hooks", int64_t{0})));
    } else if (op == "exec") {
      exec(body, request.fds);
    } else if (op == "status") {
      return status(id);
    } else if (op == "kill") {
      kill(id, body.at("signal"), body.at("all"));
    } else if (op == "pause" || op == "resume") {
      set_paused(id, op == "pause");
    } else if (op == "ps") {
      list_processes(id, request.fds.at(0).get());
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

}  // namespace husk::vm
