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
#include "libcontainer/init/birth.h"
#include "libcontainer/init/control.h"
#include "libcontainer/linux/namespaces.h"
#include "libcontainer/linux/seccomp.h"
#include "spec/binary.h"

namespace husk {
namespace {

using std::chrono::milliseconds;

// Filters that a husk-init compiled, by the profile they were made from; all containers of a guest mostly
// share one. A handful is kept, the latest first.
class FilterCache {
 public:
  std::shared_ptr<UniqueFd> find(const std::string& key) {
    std::lock_guard lock(mutex_);
    for (const auto& [profile, filter] : filters_)
      if (profile == key) return filter;
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

std::vector<trace::Event> add_events(const Word& word) {
  if (word.trace.empty() || !trace::on()) return {};
  std::vector<trace::Event> events = trace::events_from_json(parse_untrusted(word.trace));
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
      : stdio_(stdio), preserved_(static_cast<int>(preserve_fds.size())) {
    InitProgram::Waiting waiting = program.take(preserve_fds);
    helper_ = std::move(waiting.child);
    control_ = std::move(waiting.control);
  }
  // Somebody who was born for it.
  Birth(InitProgram::Waiting newborn, const StdioFds& stdio)
      : control_(std::move(newborn.control)),
        final_(std::move(newborn.child)),
        stdio_(stdio),
        preserved_(0) {}
  Birth(const Birth&) = delete;
  ~Birth() {
    kill_and_reap(helper_);
    kill_and_reap(final_);
  }

  // target, gate: fds, or -1. config's system calls stay here where their filter is known already.
  void request(RequestHead head, const spec::Config& config, int target, int gate = -1) {
    const std::shared_ptr<UniqueFd> filter = find_filter(config);
    std::vector<int> fds;
    if ((head.has_filter = filter != nullptr)) fds.push_back(filter->get());
    if ((head.has_target = target >= 0)) fds.push_back(target);
    if ((head.has_gate = gate >= 0)) fds.push_back(gate);
    const int streams[] = {stdio_.in, stdio_.out, stdio_.err};
    for (size_t i = 0; i < std::size(streams); ++i)
      if ((head.has_stream[i] = streams[i] >= 0)) fds.push_back(streams[i]);
    head.preserved = preserved_;
    head.trace = trace::on();
    if (!filter) return send_request(control_.get(), head, config, std::move(fds));
    spec::Config without = config;
    without.linux_->seccomp->syscalls.clear();
    send_request(control_.get(), head, without, std::move(fds));
  }

  // How long the container's hooks may take on the way.
  void allow(std::chrono::seconds hooks) { hooks_ = hooks; }

  // Until the newborn waits for its request.
  void wait_birth() {
    Word word;
    do {
      receive(word);
      if (word.kind == Word::kPid)
        take_final(word);
      else if (word.kind != Word::kWaiting)
        throw_word(word);
    } while (word.kind != Word::kWaiting || final_.pid < 0);
  }

  // Until "ready". Returns the console's master, if there is one.
  UniqueFd wait_ready(const std::function<void(pid_t)>& on_runtime_created = {}) {
    Word word;
    for (receive(word); word.kind != Word::kReady; receive(word)) {
      if (word.kind == Word::kPid) {
        take_final(word);
      } else if (word.kind == Word::kRuntimeCreated && on_runtime_created) {
        on_runtime_created(final_.pid);
        send_word(control_.get(), Word::kGoOn);
      } else if (word.kind != Word::kWaiting) {  // a new one had its request before it was ready for it
        throw_word(word);
      }
    }
    add_events(word);
    warnings_ = std::move(word.warnings);
    UniqueFd console;
    size_t fd = 0;
    if (word.has_console) console = std::move(word.fds.at(fd++));
    if (word.has_filter) add_filter(std::move(word.fds.at(fd++)));
    return console;
  }

  Child take_final_child() { return std::exchange(final_, Child()); }
  UniqueFd take_control() { return std::move(control_); }
  std::vector<std::string> take_warnings() { return std::move(warnings_); }

 private:
  void receive(Word& word) {
    if (receive_word(control_.get(), word, deadline::kInitReady + hooks_)) return;
    throw Error(ErrorKind::kInternal, "husk-init ended without a word" + how_it_ended());
  }

  // A listener's profile stays whole: husk-init connects to its agent.
  std::shared_ptr<UniqueFd> find_filter(const spec::Config& config) {
    if (!config.linux_ || !config.linux_->seccomp || uses_listener(*config.linux_->seccomp)) return nullptr;
    filter_key_ = spec::to_binary(*config.linux_->seccomp);
    return filter_cache().find(filter_key_);
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
  void take_final(Word& word) {
    final_.pid = word.pid;
    final_.pidfd = std::move(word.fds.at(0));
    // After an error stage 1 says so, next, and ends by itself too.
    wait_child(helper_, milliseconds(deadline::kInitReady));
    helper_ = Child();
  }

  UniqueFd control_;
  Child helper_, final_;
  StdioFds stdio_;
  int preserved_;
  std::chrono::seconds hooks_{0};
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
spec::Config reduced(const spec::Process& process, const spec::Config& container) {
  spec::Config config;
  config.process = process;
  config.oci_version = container.oci_version;
  config.annotations = container.annotations;  // for a seccomp listener
  if (container.linux_) {
    spec::Linux& l = config.linux_.emplace();
    l.seccomp = container.linux_->seccomp;
    l.personality = container.linux_->personality;
  }
  return config;
}

}  // namespace

InitProcess InitProcess::create(InitProgram& program, const CreateRequest& request,
                                const spec::Config& config, const StdioFds& stdio) {
  std::optional<InitProgram::Waiting> newborn = program.take_newborn(request.cgroup);
  if (newborn && (!fits_newborn(config) || !request.preserve_fds.empty())) {
    kill_and_reap(newborn->child);
    newborn.reset();
  }
  Birth birth = newborn ? Birth(std::move(*newborn), stdio) : Birth(program, stdio, request.preserve_fds);
  birth.allow(spec::time_of(config.hooks.create_container));
  RequestHead head;
  head.id = request.id;
  head.rootfs = request.rootfs;
  head.bundle = request.bundle;
  head.cgroup = request.cgroup;
  head.host_cgroup = request.host_cgroup;
  head.hold = static_cast<bool>(request.on_runtime_created);
  head.no_pivot = request.no_pivot;
  head.no_new_keyring = request.no_new_keyring;
  birth.request(std::move(head), config, -1, request.gate);
  UniqueFd console = birth.wait_ready(request.on_runtime_created);
  InitProcess made{birth.take_final_child(), birth.take_control(), std::move(console), birth.take_warnings()};
  made.start_hooks_ = spec::time_of(config.hooks.start_container);
  return made;
}

InitProcess InitProcess::exec(InitProgram& program, const ExecRequest& request, const spec::Process& process,
                              const spec::Config& container, const StdioFds& stdio) {
  UniqueFd target = open_pidfd(request.target);
  Birth birth(program, stdio, request.preserve_fds);
  RequestHead head;
  head.is_exec = true;
  head.id = request.id;
  head.cgroup = request.cgroup;
  head.host_cgroup = request.host_cgroup;
  head.sub_cgroups = request.sub_cgroups;
  head.bundle = request.bundle;
  head.init_pid = request.target;
  head.no_new_keyring = request.no_new_keyring;
  head.join_flags = join_flags(container, request.target);
  birth.request(std::move(head), reduced(process, container), target.get());
  UniqueFd console = birth.wait_ready();
  return {birth.take_final_child(), birth.take_control(), std::move(console), birth.take_warnings()};
}

pid_t prepare_birth(InitProgram& program, const std::string& cgroup) {
  Birth birth(program, {}, {});
  RequestHead head;
  head.is_birth = true;
  head.cgroup = cgroup;
  birth.request(std::move(head), {}, -1);
  birth.wait_birth();
  Child newborn = birth.take_final_child();
  const pid_t pid = newborn.pid;
  program.keep_newborn(cgroup, {std::move(newborn), birth.take_control()});
  return pid;
}

void InitProcess::start() {
  UniqueFd control = std::move(control_);  // one start only
  if (!control) throw Error(ErrorKind::kWrongState, "the process has been started already");
  open_gate(control.get(), start_hooks_);
}

void open_gate(int connection, std::chrono::seconds hooks) {
  send_word(connection, Word::kStart);
  Word word;
  std::vector<trace::Event> events;
  while (receive_word(connection, word, deadline::kInitExec + hooks)) {
    if (word.kind != Word::kTrace) throw_word(word);
    events = add_events(word);
  }
  add_exec(events);
}

}  // namespace husk
