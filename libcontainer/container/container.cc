#include "libcontainer/container/container.h"

#include <signal.h>
#include <unistd.h>

#include <optional>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/log.h"
#include "libcontainer/container/hooks.h"
#include "libcontainer/container/pid_file.h"
#include "spec/codec.h"
#include "spec/id.h"

namespace husk {
namespace {

using std::chrono_literals::operator""s;

[[noreturn]] void throw_state(const std::string& message) {
  throw Error(ErrorKind::kWrongState, message);
}

Record new_record(const Bundle& bundle, const Container::CreateOptions& options) {
  Record record;
  record.id = options.id;
  record.oci_version = bundle.config.oci_version;
  record.bundle = bundle.path;
  record.rootfs = bundle.rootfs;
  record.created = now_rfc3339();
  record.owner = user_name(getuid());
  record.annotations = bundle.config.annotations;
  record.creator = ProcessId::of(getpid());
  record.systemd_cgroup = options.systemd_cgroup;
  record.start_hooks = !bundle.config.hooks.start_container.empty();
  record.poststart_hooks = !bundle.config.hooks.poststart.empty();
  record.poststop_hooks = !bundle.config.hooks.poststop.empty();
  return record;
}

// The error on its way out is the one to tell; what fails while cleaning up is logged.
template <typename F>
void undo(const char* what, F&& f) noexcept {
  try {
    f();
  } catch (const std::exception& e) {
    spdlog::warn("{}: {}", what, e.what());
  }
}

}  // namespace

// --- create
// ----------------------------------------------------------------------------------------------------

Container Container::create(const Store& store, Backend& backend, const Bundle& bundle,
                            const CreateOptions& options) {
  spec::validate_id(options.id);
  const FolderLock lock = store.make(options.id);
  try {
    Container container(store, backend, new_record(bundle, options));
    store.save_config(options.id, bundle.config_text);
    for (const std::string& name : options.folders) make_dirs(path_join(container.ref().folder, name), 0755);
    store.save(container.record_);  // from here on hooks see it, as "creating"
    container.create_machine(bundle, options);
    return container;
  } catch (...) {
    undo("removing the folder of a failed create", [&] { store.remove(options.id); });
    throw;
  }
}

void Container::create_machine(const Bundle& bundle, const CreateOptions& options) {
  Backend::CreateArgs args;
  args.container = ref();
  args.bundle = bundle.path;
  args.rootfs = bundle.rootfs;
  args.config = &bundle.config;
  args.stdio = options.stdio;
  args.no_pivot = options.no_pivot;
  args.no_new_keyring = options.no_new_keyring;
  args.systemd_cgroup = options.systemd_cgroup;
  args.preserve_fds = options.preserve_fds;
  bool made = false, hooked = false;
  args.on_runtime_created = [&](pid_t pid) {
    hooked = true;
    run_create_hooks(bundle.config.hooks, pid);
  };
  try {
    record_.init = ProcessId::of(backend_->create(args));
    made = true;
    record_.creator = {};
    store_->save(record_);
    if (!options.pid_file.empty()) write_pid_file(options.pid_file, record_.init.pid);
  } catch (...) {
    if (made) undo("undoing a failed create", [&] { backend_->remove(ref()); });
    // runtime.md, "Lifecycle": a failed hook leads to the end, which has hooks of its own.
    if (hooked) run_poststop_hooks();
    throw;
  }
}

void Container::run_create_hooks(const spec::Hooks& hooks, pid_t pid) {
  const bool container_hooks = !hooks.create_container.empty() && !backend_->on_this_kernel();
  if (hooks.prestart.empty() && hooks.create_runtime.empty() && !container_hooks) return;
  record_.init = ProcessId::of(pid);
  store_->save(record_);  // a hook may ask `husk state` for the pid
  // The spec calls prestart hooks a part of start, so to them the container is created already.
  run_hooks("prestart", hooks.prestart, hook_state(Status::kCreated), record_.bundle);
  const std::string state = hook_state(Status::kCreating);
  run_hooks("createRuntime", hooks.create_runtime, state, record_.bundle);
  if (container_hooks) run_hooks("createContainer", hooks.create_container, state, record_.bundle);
}

// --- reading
// ---------------------------------------------------------------------------------------------------

Container Container::load(const Store& store, Backend& backend, const std::string& id) {
  spec::validate_id(id);
  Record record = store.load(id);
  if (record.creator.pid && !record.creator.alive()) record = store.load(id);  // its last word, if it had one
  return Container(store, backend, std::move(record));
}

Status Container::status() const {
  if (record_.creator.alive()) return Status::kCreating;
  // A create that ended without its last word has failed, however far it came.
  if (record_.creator.pid && store_->load(record_.id).creator.pid) return Status::kStopped;
  return backend_->status(ref());
}

nlohmann::ordered_json Container::state() const {
  const Status now = status();
  nlohmann::ordered_json json;
  json["ociVersion"] = record_.oci_version;
  json["id"] = record_.id;
  json["pid"] = now == Status::kStopped ? 0 : record_.init.pid;
  json["status"] = status_name(now);
  json["bundle"] = record_.bundle;
  json["rootfs"] = record_.rootfs;
  json["created"] = record_.created;
  if (!record_.annotations.empty()) json["annotations"] = record_.annotations;
  json["owner"] = record_.owner;
  return json;
}

std::string Container::hook_state(Status status) const {
  spec::State state;
  state.oci_version = record_.oci_version;
  state.id = record_.id;
  state.status = status_name(status);
  state.pid = status == Status::kStopped ? 0 : record_.init.pid;
  state.bundle = record_.bundle;
  state.annotations = record_.annotations;
  return spec::encode_state(state).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

spec::Config Container::config() const {
  const std::string path = store_->config_path(record_.id);
  return with_context(path, [&] { return spec::decode_config(read_file(path)); });
}

// --- the verbs
// -------------------------------------------------------------------------------------------------

void Container::start() {
  const FolderLock lock = store_->lock(record_.id);
  switch (const Status now = status()) {
    case Status::kCreated:
      break;
    case Status::kStopped:
      throw_state("cannot start a container that has stopped");
    case Status::kRunning:
      throw_state("cannot start an already running container");
    default:
      throw_state(std::string("cannot start a container in the ") + status_name(now) + " state");
  }
  backend_->start(ref(), record_.start_hooks ? spec::time_of(config().hooks.start_container) : 0s);
  if (record_.poststart_hooks)
    undo("poststart hooks", [&] {
      run_hooks_warn_only("poststart", config().hooks.poststart, hook_state(Status::kRunning),
                          record_.bundle);
    });
}

void Container::check_exec(bool ignore_paused) const {
  switch (status()) {
    case Status::kStopped:
      throw_state("cannot exec in a stopped container");
    case Status::kCreating:
      throw_state("cannot exec in a container that is still being created");
    case Status::kPaused:
      if (!ignore_paused) throw_state("cannot exec in a paused container (use --ignore-paused to override)");
      break;
    default:
      break;
  }
}

// No lock: a running exec must not hold up kill or another exec.
pid_t Container::exec(const spec::Process& process, const ExecOptions& options) {
  Backend::ExecArgs args;
  args.container = ref();
  args.process = &process;
  args.stdio = options.stdio;
  args.preserve_fds = options.preserve_fds;
  args.ignore_paused = options.ignore_paused;
  args.cgroups = options.cgroups;
  const pid_t pid = backend_->exec(args);
  if (!options.pid_file.empty()) {
    try {
      write_pid_file(options.pid_file, pid);
    } catch (...) {
      ::kill(pid, SIGKILL);  // the process in the guest dies with it
      throw;
    }
  }
  return pid;
}

// No lock either: it has to get through whatever else goes on.
void Container::kill(int signal, bool all) {
  const Status now = status();
  if (now == Status::kCreating) throw_state("cannot kill a container that is still being created");
  if (now == Status::kStopped && !all) throw_state("container not running");
  backend_->kill(ref(), signal, all);
}

void Container::require_alive(const char* what) const {
  const Status now = status();
  if (now == Status::kStopped || now == Status::kCreating)
    throw_state(std::string("container not running: cannot ") + what + " a " + status_name(now) +
                " container");
}

void Container::pause() {
  const FolderLock lock = store_->lock(record_.id);
  require_alive("pause");
  if (status() == Status::kPaused) throw_state("container not running: cannot pause a paused container");
  backend_->pause(ref());
}

void Container::resume() {
  const FolderLock lock = store_->lock(record_.id);
  if (status() != Status::kPaused) throw_state("container not paused");
  backend_->resume(ref());
}

void Container::update(const spec::Resources& resources) {
  const FolderLock lock = store_->lock(record_.id);
  require_alive("update");
  backend_->update(ref(), resources);
}

nlohmann::json Container::stats() {
  require_alive("measure");
  return backend_->stats(ref());
}

std::vector<ProcessRow> Container::processes() {
  if (status() == Status::kStopped) return {};
  return backend_->processes(ref());
}

std::vector<pid_t> Container::host_pids() {
  if (status() == Status::kStopped) return {};
  return backend_->host_pids(ref());
}

// --- delete
// ----------------------------------------------------------------------------------------------------

void Container::check_delete() const {
  const Status now = status();
  if (now != Status::kStopped && now != Status::kCreated)
    throw_state("cannot delete container " + record_.id + " that is not stopped: " + status_name(now));
}

void Container::run_poststop_hooks() {
  if (!record_.poststop_hooks) return;
  undo("poststop hooks", [&] {
    run_hooks_warn_only("poststop", config().hooks.poststop, hook_state(Status::kStopped), record_.bundle);
  });
}

void delete_container(const Store& store, Backend& backend, const std::string& id, bool force) {
  spec::validate_id(id);
  if (force && !store.has_folder(id)) return;
  try {
    const FolderLock lock = store.lock(id);
    std::optional<Container> container;
    try {
      container = Container::load(store, backend, id);
    } catch (const Error& e) {
      // A create that was killed before, or while, it wrote state.json.
      if (!force || (e.kind() != ErrorKind::kNotFound && e.kind() != ErrorKind::kInvalid)) throw;
    }
    if (container && !force) container->check_delete();
    backend.remove(store.ref(id));
    if (container) container->run_poststop_hooks();
    store.remove(id);
  } catch (const Error& e) {
    // Another delete was faster.
    if (!force || e.kind() != ErrorKind::kNotFound || store.has_folder(id)) throw;
  }
}

}  // namespace husk
