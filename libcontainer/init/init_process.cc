#include "libcontainer/init/init_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <list>
#include <memory>
#include <mutex>
#include <optional>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/message.h"
#include "libcontainer/base/trace.h"
#include "libcontainer/init/control.h"
#include "libcontainer/linux/namespaces.h"
#include "libcontainer/linux/seccomp.h"
#include "spec/codec.h"

namespace husk {
namespace {

using std::chrono::milliseconds;

// Filters that a husk-init compiled, by the JSON they were made from; all containers of a guest mostly share
// one. A handful is kept, the latest first.
class FilterCache {
 public:
  std::shared_ptr<UniqueFd> find(const std::string& key) {
    std::lock_guard lock(mutex_);
    for (const auto& [text, filter] : filters_)
      if (text == key) return filter;
    return nullptr;
  }
  void add(const std::string& key, UniqueFd filter) {
    std::lock_guard lock(mutex_);
    filters_.emplace_front(key, std::make_shared<UniqueFd>(std::move(filter)));
    if (filters_.size() > kMost) filters_.pop_back();
  }

 private:
  static constexpr size_t kMost = 8;
  std::mutex mutex_;
  std::list<std::pair<std::string, std::shared_ptr<UniqueFd>>> filters_;
};

FilterCache& filter_cache() {
  static FilterCache cache;
  return cache;
}

std::vector<trace::Event> add_events(const Json& message) {
  if (!message.contains("trace") || !trace::on()) return {};
  std::vector<trace::Event> events = trace::events_from_json(message.at("trace"));
  for (const trace::Event& event : events) trace::add(event);
  return events;
}

// From the last word of husk-init to the end of its socket: execve(2).
void add_exec(const std::vector<trace::Event>& events) {
  if (events.empty()) return;
  trace::Event exec = events.back();
  exec.name = "exec";
  exec.begin_ns = exec.end_ns;
  exec.end_ns = trace::now();
  trace::add(std::move(exec));
}

// One request on its way to the gate. Whatever goes wrong: what was started is killed and reaped.
class Birth {
 public:
  Birth(InitProgram& program, const StdioFds& stdio, const std::vector<int>& preserve_fds)
      : stdio_(stdio), preserved_(preserve_fds.size()) {
    InitProgram::Waiting waiting = program.take(preserve_fds);
    helper_ = std::move(waiting.child);
    control_ = std::move(waiting.control);
  }
  Birth(const Birth&) = delete;
  ~Birth() {
    kill_and_reap(helper_);
    kill_and_reap(final_);
  }

  // config's seccomp is taken out where its filter is known already.
  void request(Json body, spec::Config config, int target, int gate = -1) {
    std::vector<int> fds(1);
    std::shared_ptr<UniqueFd> filter;
    // A listener's profile stays whole: husk-init connects to its agent.
    if (config.linux_ && config.linux_->seccomp && !uses_listener(*config.linux_->seccomp)) {
      spec::Config only;
      only.linux_.emplace().seccomp = config.linux_->seccomp;
      filter_key_ = spec::encode_config(only).dump();
      filter = filter_cache().find(filter_key_);
    }
    if (filter) {
      config.linux_->seccomp->syscalls.clear();
      fds.push_back(filter->get());
    }
    if (target >= 0) fds.push_back(target);
    if (gate >= 0) fds.push_back(gate);
    std::vector<int> streams;
    for (auto [fd, number] : {std::pair{stdio_.in, 0}, {stdio_.out, 1}, {stdio_.err, 2}})
      if (fd >= 0) {
        fds.push_back(fd);
        streams.push_back(number);
      }
    UniqueFd text = make_memfd(spec::encode_config(config).dump());
    fds[0] = text.get();
    body["seccomp"] = filter != nullptr;
    body["target"] = target >= 0;
    body["gate"] = gate >= 0;
    body["streams"] = streams;
    body["preserved"] = preserved_;
    body["trace"] = trace::on();
    send_message(control_.get(), body, fds);
  }

  // Until "ready". Returns the console's master, if there is one.
  UniqueFd wait_ready(const std::function<void(pid_t)>& on_runtime_created = {}) {
    Message m;
    for (;;) {
      receive(m);
      if (m.body.contains("pid")) {
        take_final(m);
      } else if (m.body.contains("runtime_created") && on_runtime_created) {
        on_runtime_created(final_.pid);
        send_message(control_.get(), {{"go_on", true}});
      } else if (m.body.contains("waiting")) {
        continue;  // a new one; it had its request before it was ready for it
      } else if (m.body.contains("ready")) {
        break;
      } else {
        throw_if_error(m.body);
        throw Error(ErrorKind::kInternal, "husk-init sent an unknown message", EPROTO);
      }
    }
    add_events(m.body);
    warnings_ = m.body.at("warnings").get<std::vector<std::string>>();
    UniqueFd console;
    size_t fd = 0;
    if (m.body.value("console", false)) console = std::move(m.fds.at(fd++));
    if (m.body.value("seccomp", false)) add_filter(std::move(m.fds.at(fd++)));
    return console;
  }

  Child take_final_child() { return std::exchange(final_, Child()); }
  UniqueFd take_control() { return std::move(control_); }
  std::vector<std::string> take_warnings() { return std::move(warnings_); }

 private:
  static UniqueFd make_memfd(const std::string& text) {
    UniqueFd fd(check(memfd_create("husk-request", MFD_CLOEXEC), "memfd_create"));
    write_all(fd.get(), text, "writing the request");
    return fd;
  }

  void receive(Message& m) {
    if (receive_message(control_.get(), m, milliseconds(deadline::kInitReady))) return;
    throw Error(ErrorKind::kInternal, "husk-init ended without a word" + how_it_ended());
  }

  std::string how_it_ended() {
    Child& last = final_.pid > 0 ? final_ : helper_;
    if (last.pid <= 0) return "";
    ExitStatus end = wait_child(last, milliseconds(deadline::kProcessEnd));
    last = Child();
    return end.signal ? ": signal " + std::to_string(end.signal)
                      : ": exit status " + std::to_string(end.code);
  }

  void add_filter(UniqueFd filter) {
    if (!filter_key_.empty()) filter_cache().add(filter_key_, std::move(filter));
  }

  // Stage 1 has done its part when it says whom it made: reap it here, so that no zombie outlives the call.
  void take_final(Message& m) {
    final_.pid = m.body.at("pid").get<pid_t>();
    final_.pidfd = std::move(m.fds.at(0));
    // After an error stage 1 says so, next, and ends by itself too.
    wait_child(helper_, milliseconds(deadline::kInitReady));
    helper_ = Child();
  }

  UniqueFd control_;
  Child helper_, final_;
  StdioFds stdio_;
  size_t preserved_;
  std::string filter_key_;
  std::vector<std::string> warnings_;
};

// Of the container's namespaces those that its processes have to join. The user namespace only if it is not
// ours: entering one's own is an error.
int join_flags(const spec::Config& config, pid_t target) {
  int flags = CLONE_NEWNS;  // create always makes or joins one
  if (config.linux_)
    for (const spec::Namespace& ns : config.linux_->namespaces) flags |= namespace_flag(ns.type);
  struct stat ours, theirs;
  if ((flags & CLONE_NEWUSER) && stat("/proc/self/ns/user", &ours) == 0 &&
      stat(("/proc/" + std::to_string(target) + "/ns/user").c_str(), &theirs) == 0 &&
      ours.st_ino == theirs.st_ino)
    flags &= ~CLONE_NEWUSER;
  return flags;
}

// Decoding what it does not need would be most of what an exec costs in the guest.
spec::Config reduced(const ExecRequest& request) {
  spec::Config config;
  config.process = request.process;
  config.oci_version = request.config.oci_version;
  config.annotations = request.config.annotations;  // for a seccomp listener
  if (request.config.linux_) {
    spec::Linux& l = config.linux_.emplace();
    l.seccomp = request.config.linux_->seccomp;
    l.personality = request.config.linux_->personality;
  }
  return config;
}

}  // namespace

InitProcess InitProcess::create(InitProgram& program, const CreateRequest& request, const StdioFds& stdio) {
  Birth birth(program, stdio, request.preserve_fds);
  birth.request({{"id", request.id},
                 {"rootfs", request.rootfs},
                 {"bundle", request.bundle},
                 {"cgroup", request.cgroup},
                 {"host_cgroup", request.host_cgroup},
                 {"hold", static_cast<bool>(request.on_runtime_created)},
                 {"no_pivot", request.no_pivot},
                 {"no_new_keyring", request.no_new_keyring}},
                request.config, -1, request.gate);
  InitProcess process;
  process.console_ = birth.wait_ready(request.on_runtime_created);
  process.child_ = birth.take_final_child();
  process.control_ = birth.take_control();
  process.warnings_ = birth.take_warnings();
  return process;
}

InitProcess InitProcess::exec(InitProgram& program, const ExecRequest& request, const StdioFds& stdio) {
  UniqueFd target = open_pidfd(request.target);
  Birth birth(program, stdio, request.preserve_fds);
  birth.request({{"exec", true},
                 {"id", request.id},
                 {"cgroup", request.cgroup},
                 {"host_cgroup", request.host_cgroup},
                 {"sub_cgroups", request.sub_cgroups},
                 {"bundle", request.bundle},
                 {"init_pid", request.target},
                 {"no_new_keyring", request.no_new_keyring},
                 {"join_flags", join_flags(request.config, request.target)}},
                reduced(request), target.get());
  InitProcess process;
  process.console_ = birth.wait_ready();
  process.child_ = birth.take_final_child();
  process.control_ = birth.take_control();
  process.warnings_ = birth.take_warnings();
  return process;
}

void InitProcess::start() {
  UniqueFd control = std::move(control_);  // one start only
  if (!control) throw Error(ErrorKind::kWrongState, "the process has been started already");
  open_gate(control.get());
}

void open_gate(int connection) {
  send_message(connection, {{"start", true}});
  Message m;
  std::vector<trace::Event> events;
  while (receive_message(connection, m, milliseconds(deadline::kInitExec))) {
    if (m.body.contains("trace")) {
      events = add_events(m.body);
      continue;
    }
    throw_if_error(m.body);
    throw Error(ErrorKind::kInternal, "husk-init sent an unknown message", EPROTO);
  }
  add_exec(events);
}

}  // namespace husk
