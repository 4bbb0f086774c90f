#include "libcontainer/host/host_backend.h"

#include <fcntl.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/message.h"
#include "libcontainer/base/process.h"
#include "libcontainer/base/rootless.h"
#include "libcontainer/host/host_config.h"
#include "libcontainer/host/limits.h"
#include "libcontainer/host/record.h"
#include "libcontainer/init/init_process.h"
#include "libcontainer/linux/process_list.h"
#include "libcontainer/linux/systemd_unit.h"
#include "spec/codec.h"

namespace husk::host {
namespace {

// In the container's folder, whose mode 0700 keeps everybody else away from it: where husk-init waits for
// `start`.
constexpr const char* kGate = "gate";

UniqueFd open_folder(const ContainerRef& c) {
  return open_file(c.folder, O_PATH | O_DIRECTORY);
}

UniqueFd connect_gate(const ContainerRef& c) {
  // Non-blocking: a frozen init answers nobody, and its queue may be full.
  UniqueFd gate = connect_at(open_folder(c).get(), kGate, SOCK_SEQPACKET | SOCK_NONBLOCK);
  set_nonblocking(gate.get(), false);
  return gate;
}

// Who was started has closed the gate.
bool is_at_gate(const ContainerRef& c) {
  try {
    connect_gate(c);
    return true;
  } catch (const Error& e) {
    if (e.errnum() == EAGAIN) return true;
    if (e.errnum() == ECONNREFUSED || e.errnum() == ENOENT) return false;
    throw;
  }
}

bool send_signal(const UniqueFd& pidfd, int signal) {
  if (!pidfd) return false;
  if (syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0) return true;
  if (errno == ESRCH) return false;
  throw_errno("signal " + std::to_string(signal));
}

StdioFds stdio_fds(const HostStdio& stdio) {
  return stdio.terminal ? StdioFds() : StdioFds{stdio.in, stdio.out, stdio.err};
}

class HostBackend : public Backend {
 public:
  explicit HostBackend(const HostOptions& options) : init_program_(options.init_program) {}

  bool on_this_kernel() const override { return true; }
  pid_t create(const CreateArgs& args) override;
  void start(const ContainerRef& c, std::chrono::seconds hooks) override;
  pid_t exec(const ExecArgs& args) override;
  Status status(const ContainerRef& c) override;
  void kill(const ContainerRef& c, int signal, bool all) override;
  void pause(const ContainerRef& c) override { cgroup_of(c).freeze(true); }
  void resume(const ContainerRef& c) override { cgroup_of(c).freeze(false); }
  void update(const ContainerRef& c, const spec::Resources& resources) override {
    const Record record = record_of(c);
    Cgroup cgroup(record.cgroup);
    apply_limits(cgroup, SystemdUnit(record.unit), resources);
  }
  nlohmann::json stats(const ContainerRef& c) override { return cgroup_of(c).stats(); }
  std::vector<ProcessRow> processes(const ContainerRef& c) override;
  std::vector<pid_t> host_pids(const ContainerRef& c) override { return cgroup_of(c).pids(); }
  void remove(const ContainerRef& c) override;

 private:
  static Record record_of(const ContainerRef& c);
  static Cgroup cgroup_of(const ContainerRef& c) { return Cgroup(record_of(c).cgroup); }
  static void start_unit(const CreateArgs& args, Record& record, SystemdUnit& unit, Cgroup& cgroup);
  Child make_init(const CreateArgs& args, Record& record, SystemdUnit& unit, Cgroup& cgroup);

  InitProgram init_program_;
};

Record HostBackend::record_of(const ContainerRef& c) {
  Record record;
  if (!Record::load(c.folder, record)) throw Error(ErrorKind::kWrongState, "container not running");
  return record;
}

void HostBackend::start_unit(const CreateArgs& args, Record& record, SystemdUnit& unit, Cgroup& cgroup) {
  try {
    unit.start(*args.config, args.container.id, cgroup);
  } catch (const Error& e) {
    // Another's: there is nothing of ours to undo.
    if (e.kind() == ErrorKind::kExists) record.unit = record.cgroup = "";
    record.save(args.container.folder);
    throw;
  }
  record.cgroup = cgroup.path();
  record.save(args.container.folder);
}

pid_t HostBackend::create(const CreateArgs& args) {
  check_for_host(*args.config);
  const std::string asked = args.config->linux_ ? args.config->linux_->cgroups_path : "";
  Cgroup cgroup(cgroup_path(asked, args.container.id, args.systemd_cgroup));
  refuse_foreign_cgroup(cgroup);  // before remove() could take its processes for ours
  Record record;
  record.cgroup = cgroup.path();
  if (args.systemd_cgroup) record.unit = unit_name(asked, args.container.id).unit;
  record.bundle = args.bundle;
  record.no_new_keyring = args.no_new_keyring;
  record.save(args.container.folder);
  Child init;
  try {
    SystemdUnit unit(record.unit);
    if (!record.unit.empty()) start_unit(args, record, unit, cgroup);
    cgroup.create();
    init = make_init(args, record, unit, cgroup);
    return init.pid;
  } catch (...) {
    try {
      remove(args.container);
    } catch (const Error& e) {
      spdlog::error("after a failed create: {}", e.what());
    }
    throw;
  }
}

Child HostBackend::make_init(const CreateArgs& args, Record& record, SystemdUnit& unit, Cgroup& cgroup) {
  UniqueFd gate = listen_at(open_folder(args.container).get(), kGate, SOCK_SEQPACKET);
  CreateRequest request;
  request.id = args.container.id;
  request.rootfs = args.rootfs;
  request.bundle = args.bundle;
  request.no_pivot = args.no_pivot;
  request.no_new_keyring = args.no_new_keyring;
  request.preserve_fds = args.preserve_fds;
  request.host_cgroup = record.cgroup;
  request.gate = gate.get();
  request.on_runtime_created = [&](pid_t pid) {
    record.pid = pid;
    record.start = process_start_time(pid);
    record.save(args.container.folder);
    unit.release();
    // Only now: husk-init's helper stages are not the container's to pay for.
    // An ordinary user's processes have no devices to be kept from, and mostly no cgroup to do it.
    const auto& linux_ = args.config->linux_;
    if (!is_rootless())
      apply_limits(cgroup, unit, first_resources(*args.config));
    else if (linux_ && linux_->resources)
      apply_limits(cgroup, unit, *linux_->resources);
    if (args.on_runtime_created) args.on_runtime_created(pid);
  };
  InitProcess process = InitProcess::create(
      init_program_, request, make_init_config(*args.config, args.bundle), stdio_fds(args.stdio));
  for (const std::string& warning : process.take_warnings()) spdlog::warn("{}", warning);
  Child child = process.take_child();
  try {
    if (args.stdio.terminal) args.stdio.on_console(process.take_console());
  } catch (...) {
    kill_and_reap(child);
    throw;
  }
  return child;
}

void HostBackend::start(const ContainerRef& c, std::chrono::seconds hooks) {
  UniqueFd gate;
  try {
    gate = connect_gate(c);
  } catch (const Error& e) {
    if (e.errnum() != ECONNREFUSED && e.errnum() != ENOENT) throw;
    throw Error(ErrorKind::kWrongState, "the container is not waiting for its start");
  }
  open_gate(gate.get(), hooks);
}

pid_t HostBackend::exec(const ExecArgs& args) {
  const Record record = record_of(args.container);
  if (!record.alive()) throw Error(ErrorKind::kWrongState, "cannot exec in a stopped container");
  ExecRequest request;
  request.id = args.container.id;
  request.target = record.pid;
  request.host_cgroup = record.cgroup;
  request.sub_cgroups = args.cgroups;
  request.preserve_fds = args.preserve_fds;
  request.no_new_keyring = record.no_new_keyring;
  request.bundle = record.bundle;
  const auto config = spec::decode_config(read_file(path_join(args.container.folder, "config.json")));
  InitProcess process =
      InitProcess::exec(init_program_, request, *args.process, config, stdio_fds(args.stdio));
  for (const std::string& warning : process.take_warnings()) spdlog::warn("{}", warning);
  Child child = process.take_child();
  try {
    if (args.stdio.terminal) args.stdio.on_console(process.take_console());
    process.start();
  } catch (...) {
    kill_and_reap(child);
    throw;
  }
  return child.pid;
}

Status HostBackend::status(const ContainerRef& c) {
  Record record;
  if (!Record::load(c.folder, record) || !record.alive()) return Status::kStopped;
  if (Cgroup(record.cgroup).frozen()) return Status::kPaused;
  return is_at_gate(c) ? Status::kCreated : Status::kRunning;
}

void HostBackend::kill(const ContainerRef& c, int signal, bool all) {
  const Record record = record_of(c);
  Cgroup cgroup(record.cgroup);
  if (all) return cgroup.kill_all(signal);
  if (!send_signal(record.open(), signal)) throw Error(ErrorKind::kWrongState, "container not running");
  // In v1's freezer not even SIGKILL is heard.
  if (signal == SIGKILL && cgroup.frozen()) cgroup.freeze(false);
}

std::vector<ProcessRow> HostBackend::processes(const ContainerRef& c) {
  std::vector<ProcessRow> rows;
  for (ProcessInfo& p : describe_processes(host_pids(c)))
    rows.push_back({p.pid, p.ppid, p.uid, p.start_seconds, p.cpu_milliseconds, p.virtual_kib, p.resident_kib,
                    std::move(p.tty), std::move(p.state), std::move(p.command)});
  return rows;
}

void HostBackend::remove(const ContainerRef& c) {
  Record record;
  if (!Record::load(c.folder, record)) return;
  const UniqueFd init = record.open();
  send_signal(init, SIGKILL);
  if (record.cgroup.empty()) return;
  Cgroup cgroup(record.cgroup);
  // Also what outlived an init without a pid namespace of its own.
  cgroup.kill_all(SIGKILL);
  if (init && !wait_pidfd(init.get(), deadline::kProcessEnd))
    throw Error(ErrorKind::kTimeout, "process " + std::to_string(record.pid) + " does not end after SIGKILL");
  SystemdUnit(record.unit).stop();
  cgroup.remove(deadline::kCgroupRemove);
}

}  // namespace

std::unique_ptr<Backend> make_host_backend(HostOptions options) {
  return std::make_unique<HostBackend>(std::move(options));
}

bool is_host_container(const ContainerRef& container) {
  Record record;
  return Record::load(container.folder, record);
}

}  // namespace husk::host
