#include "agent/guest/container.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>

#include "agent/guest/guest_config.h"
#include "agent/guest/log.h"
#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/trace.h"

namespace husk::guest {
namespace {

constexpr size_t kMaxCollected = 64;  // ended processes that are kept for a late question

Streams streams_of(const spec::Process& process, bool one_output) {
  if (process.terminal) return Streams::kTerminal;
  return one_output ? Streams::kOneOutput : Streams::kPipes;
}

void wait_end(const Process& process, const std::string& what) {
  if (!process.wait(deadline::kProcessEnd))
    throw Error(ErrorKind::kTimeout, what + " (pid " + std::to_string(process.pid()) + ") does not end");
}

}  // namespace

Container::Container(Reaper& reaper, InitProgram& init_program, ContainerOptions options)
    : reaper_(reaper),
      init_program_(init_program),
      id_(std::move(options.id)),
      no_new_keyring_(options.no_new_keyring),
      config_(std::move(options.config)),
      numbers_(std::move(options.numbers)),
      held_(std::move(options.held)),
      cgroup_(options.cgroup ? std::move(*options.cgroup) : Cgroup(guest_cgroup_path(config_, id_))) {}

std::shared_ptr<Container> Container::create(Reaper& reaper, InitProgram& init_program,
                                             ContainerOptions options, std::vector<std::string>& warnings) {
  CreateRequest request;
  request.id = options.id;
  request.bundle = options.bundle;
  request.no_pivot = options.no_pivot;
  request.no_new_keyring = options.no_new_keyring;
  const bool one_output = options.one_output, has_cgroup = options.cgroup.has_value();
  std::shared_ptr<Container> container(new Container(reaper, init_program, std::move(options)));
  request.rootfs = container->config_.root->path;
  try {
    trace::Span cgroup("cgroup");
    if (!has_cgroup) container->cgroup_.create();
    warnings = container->limit(first_resources(container->config_), !has_cgroup);
    cgroup.end();
    request.cgroup = container->cgroup_.v2_folder();
    container->init_ = Process::create(
        reaper, "", streams_of(*container->config_.process, one_output), [&](const StdioFds& stdio) {
          InitProcess made = InitProcess::create(init_program, request, container->config_, stdio);
          std::ranges::move(made.take_warnings(), std::back_inserter(warnings));
          return made;
        });
  } catch (...) {
    try {
      container->cgroup_.kill_all(SIGKILL);  // who was born in it, and was not asked for
      container->cgroup_.remove(deadline::kCgroupRemove);
    } catch (const Error& e) {
      log_warning(container->id_ + ": " + e.message());
    }
    throw;
  }
  return container;
}

std::vector<std::string> Container::limit(const spec::Resources& resources, bool devices) {
  std::vector<std::string> warnings = cgroup_.apply(resources);
  if (devices)
    std::ranges::move(cgroup_.apply_container_devices(resources.devices), std::back_inserter(warnings));
  return warnings;
}

Status Container::status() const {
  if (init_->ended()) return Status::kStopped;
  std::lock_guard lock(mutex_);
  if (paused_) return Status::kPaused;
  return init_->started() ? Status::kRunning : Status::kCreated;
}

void Container::check_exec_allowed(bool ignore_paused) const {
  switch (status()) {
    case Status::kPaused:
      if (ignore_paused) break;
      throw Error(ErrorKind::kWrongState, "cannot exec in a paused container");
    case Status::kStopped:
      throw Error(ErrorKind::kWrongState, "cannot exec in a stopped container");
    default:
      break;
  }
}

std::shared_ptr<Process> Container::create_process(const std::string& process_id,
                                                   const spec::Process& process, const ExecOptions& options) {
  check_exec_allowed(options.ignore_paused);
  {
    std::lock_guard lock(mutex_);
    if (removing_) throw Error(ErrorKind::kWrongState, "the container is being removed");
    forget_collected();
    if (processes_.count(process_id)) throw Error(ErrorKind::kExists, "process " + process_id + " exists");
    if (processes_.size() >= kMaxProcesses)
      throw Error(ErrorKind::kInternal, "too many processes in one container", EAGAIN);
    processes_[process_id];  // the id is taken
  }
  ExecRequest request;
  request.id = id_;
  request.target = init_->pid();
  request.cgroup =
      options.cgroup.empty() ? cgroup_.birth_folder() : path_join(cgroup_.v2_folder(), options.cgroup);
  request.no_new_keyring = no_new_keyring_;
  std::shared_ptr<Process> made;
  try {
    made = Process::create(
        reaper_, process_id, streams_of(process, options.one_output), [&](const StdioFds& stdio) {
          InitProcess made = InitProcess::exec(init_program_, request, process, config_, stdio);
          for (const std::string& warning : made.take_warnings()) log_warning(id_ + ": " + warning);
          return made;
        });
  } catch (...) {
    std::lock_guard lock(mutex_);
    processes_.erase(process_id);
    throw;
  }
  std::lock_guard lock(mutex_);
  processes_[process_id].process = made;
  if (removing_) made->kill();
  return made;
}

std::shared_ptr<Process> Container::exec(const std::string& process_id, const spec::Process& process,
                                         const ExecOptions& options) {
  std::shared_ptr<Process> made = create_process(process_id, process, options);
  try {
    made->start(options.size);
  } catch (...) {
    made->kill();
    collected(process_id);
    throw;
  }
  init_program_.make_spare();
  return made;
}

void Container::forget_collected() {
  size_t collected = 0;
  for (const auto& [id, entry] : processes_) collected += entry.collected;
  if (collected < kMaxCollected) return;
  std::erase_if(processes_, [](const auto& item) { return item.second.collected; });
}

std::shared_ptr<Process> Container::process(const std::string& process_id) const {
  if (process_id.empty()) return init_;
  std::lock_guard lock(mutex_);
  auto it = processes_.find(process_id);
  if (it == processes_.end() || !it->second.process)
    throw Error(ErrorKind::kNotFound, "process " + process_id + " does not exist");
  return it->second.process;
}

void Container::start(const std::optional<WindowSize>& size) {
  init_->start(size);
  init_program_.make_spare();
}

void Container::signal(const std::string& process_id, int signal, bool all) {
  if (all)
    cgroup_.kill_all(signal);
  else
    process(process_id)->signal(signal);
}

void Container::pause() {
  Status now = status();
  if (now != Status::kRunning && now != Status::kCreated)
    throw Error(ErrorKind::kWrongState, std::string("container not running: it is ") + status_name(now));
  cgroup_.freeze(true);
  std::lock_guard lock(mutex_);
  paused_ = true;
}

void Container::resume() {
  if (status() != Status::kPaused) throw Error(ErrorKind::kWrongState, "container not paused");
  cgroup_.freeze(false);
  std::lock_guard lock(mutex_);
  paused_ = false;
}

std::vector<std::string> Container::update(spec::Resources resources) {
  if (status() == Status::kStopped)
    throw Error(ErrorKind::kWrongState, "container not running: it is stopped");
  localize_rules(resources.devices, numbers_);
  return limit(resources, true);
}

Exit Container::finish(const Process& process, ExitStatus status) {
  bool is_init = process.id().empty();
  // The rootfs, every volume and disk. What a shared mapping held is only on its way when that goes with its
  // process (fuse of 6.1), and the host may end the VM as soon as it hears of this end.
  if (is_init) std::call_once(synced_, [] { sync(); });
  bool killed = is_init || status.signal == SIGKILL;
  try {
    return {status, killed && cgroup_.oom_kills() > 0};
  } catch (const Error&) {
    return {status, false};  // the cgroup went with the container
  }
}

void Container::collected(const std::string& process_id) {
  std::lock_guard lock(mutex_);
  auto it = processes_.find(process_id);
  if (it != processes_.end()) it->second.collected = true;
}

void Container::remove() {
  std::vector<std::shared_ptr<Process>> all{init_};
  {
    std::lock_guard lock(mutex_);
    removing_ = true;
    for (const auto& [id, entry] : processes_)
      if (entry.process) all.push_back(entry.process);
  }
  for (const auto& process : all) process->kill();
  cgroup_.kill_all(SIGKILL);
  for (const auto& process : all) wait_end(*process, "process " + process->id());
  cgroup_.remove(deadline::kCgroupRemove);
  finish(*init_, {});
  // Volumes are let go of here: it may take as long as the host's file system takes, and who is the last to
  // know this container may be the thread that hears the host.
  std::vector<std::shared_ptr<void>> held;
  std::lock_guard lock(mutex_);
  held.swap(held_);
}

}  // namespace husk::guest
