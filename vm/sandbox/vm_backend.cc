#include "vm/sandbox/vm_backend.h"

#include <fcntl.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <utility>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/process.h"
#include "libcontainer/base/trace.h"
#include "libcontainer/linux/cgroups.h"
#include "libcontainer/linux/systemd_unit.h"
#include "spec/codec.h"
#include "vm/net/network.h"
#include "vm/sandbox/control.h"
#include "vm/sandbox/guest_config.h"
#include "vm/sandbox/hand_over.h"
#include "vm/sandbox/limits.h"
#include "vm/sandbox/placement.h"
#include "vm/sandbox/sandbox_folder.h"
#include "vm/sandbox/seat.h"
#include "vm/sandbox/shim.h"
#include "vm/sandbox/shim_protocol.h"
#include "vm/sandbox/undo.h"
#include "vm/sandbox/user_namespace.h"
#include "vm/sizing/sizing.h"

namespace husk::vm {
namespace {

Status status_from_name(const std::string& name) {
  for (Status s : {Status::kCreating, Status::kCreated, Status::kRunning, Status::kPaused})
    if (name == status_name(s)) return s;
  return Status::kStopped;
}

class VmBackend : public Backend {
 public:
  explicit VmBackend(BackendOptions options) : o_(std::move(options)) {}

  pid_t create(const CreateArgs& args) override;
  void start(const ContainerRef& c, std::chrono::seconds hooks) override {
    ask(c, {{"op", "start"}, {"hooks", hooks.count()}}, deadline::kControlReply + hooks);
  }
  pid_t exec(const ExecArgs& args) override;
  Status status(const ContainerRef& c) override;
  void kill(const ContainerRef& c, int signal, bool all) override;
  void pause(const ContainerRef& c) override { ask(c, {{"op", "pause"}}, deadline::kControlReply); }
  void resume(const ContainerRef& c) override { ask(c, {{"op", "resume"}}, deadline::kControlReply); }
  void update(const ContainerRef& c, const spec::Resources& resources) override;
  nlohmann::json stats(const ContainerRef& c) override {
    return ask(c, {{"op", "stats"}}, deadline::kControlReply).at("stats");
  }
  std::vector<ProcessRow> processes(const ContainerRef& c) override;
  std::vector<pid_t> host_pids(const ContainerRef& c) override;
  void remove(const ContainerRef& c) override;

 private:
  void ask_create(const CreateArgs& args, int connection, pid_t shim, int shim_socket);
  bool leave_sandbox(const ContainerRef& c, const Undo& undo);
  static Json ask(const ContainerRef& c, Json body, std::chrono::milliseconds timeout,
                  const std::vector<int>& fds = {});

  BackendOptions o_;
};

// Asked so often: the VM's next container may end between question and answer.
constexpr int kAttempts = 5;

// The fds of a new process, in the order in which husk-sandbox takes them.
std::vector<int> process_fds(const HostStdio& stdio, int shim_socket) {
  return {stdio.in, stdio.out, stdio.err, shim_socket};
}

void refuse_preserved(const std::vector<int>& fds) {
  if (!fds.empty())
    throw Error(ErrorKind::kUnsupported,
                "--preserve-fds, LISTEN_FDS: the host's fds cannot be passed into a VM");
}

// Of what the guest cannot honour.
void log_warnings(const Json& reply) {
  for (const auto& warning : reply.at("warnings")) spdlog::warn("{}", printable(warning.get<std::string>()));
}

std::string sandbox_folder_of(const ContainerRef& c) {
  Undo undo;
  return Undo::load(c.folder, undo) ? undo.sandbox_folder : c.folder;
}

Json VmBackend::ask(const ContainerRef& c, Json body, std::chrono::milliseconds timeout,
                    const std::vector<int>& fds) {
  body["id"] = c.id;
  return request(sandbox_folder_of(c), body, fds, timeout);
}

void VmBackend::ask_create(const CreateArgs& args, int connection, pid_t shim, int shim_socket) {
  trace::Span mounts("mounts");
  const std::string netns_path = "/proc/" + std::to_string(shim) + "/ns/net";
  GuestConfig guest = make_guest_config(
      *args.config,
      {args.container.id, args.rootfs, args.bundle, netns_path, o_.options.inotify, [this](pid_t pid) {
         RunningContainer owner;
         return find_by_shim(pid, o_.root, owner) ? owner.id : "";
       }});
  for (const std::string& warning : guest.warnings) spdlog::warn("{}", warning);
  send_mounts(connection, args.container.id, args.rootfs, guest.shared);
  send_connections(connection, args.container.id, guest);
  mounts.end();
  trace::Span span("wait for husk-sandbox");
  Json body = {{"op", "create"},
               {"id", args.container.id},
               {"bundle", args.bundle},
               {"terminal", args.stdio.terminal},
               {"shim", shim},
               {"host_network", in_host_network(*args.config)},
               {"no_pivot", args.no_pivot},
               {"no_new_keyring", args.no_new_keyring},
               {"all_devices", guest.devices.all},
               {"devices", Json::array()}};
  // By file, since a config may be larger than a message.
  const std::string path = path_join(args.container.folder, "guest-config.json");
  write_file(path, spec::encode_config(guest.config).dump(), true);
  UniqueFd config = open_file(path, O_RDONLY), netns = open_file(netns_path, O_RDONLY);
  std::vector<int> fds = process_fds(args.stdio, shim_socket);
  fds.push_back(netns.get());
  fds.push_back(config.get());
  for (const VmDevice& device : guest.devices.list) {
    body["devices"].push_back({{"path", device.path},
                               {"name", device.name},
                               {"key", device.key},
                               {"readonly", device.readonly},
                               {"in_use", device.in_use},
                               {"fd", static_cast<bool>(device.disk)}});
    if (device.disk) fds.push_back(device.disk.get());
  }
  log_warnings(tell(connection, body, fds, deadline::kCreateReply));
}

void start_unit(const Backend::CreateArgs& args, SystemdUnit& unit, Cgroup& cgroup, Undo& undo) {
  try {
    unit.start(*args.config, args.container.id, cgroup);
  } catch (const Error& e) {
    // Another's: there is nothing of ours to undo.
    if (e.kind() == ErrorKind::kExists) undo.unit = undo.cgroup = "";
    undo.save(args.container.folder);
    throw;
  }
  undo.cgroup = cgroup.path();
  undo.save(args.container.folder);
}

pid_t VmBackend::create(const CreateArgs& wanted) {
  CreateArgs args = wanted;
  spec::Config config;
  refuse_preserved(args.preserve_fds);
  refuse_host_namespaces(*args.config, o_.options);
  if (geteuid() != 0) {
    config = *args.config;
    enter_user_namespace(config);
    args.config = &config;
  }
  const spec::Linux& linux_config = *args.config->linux_;

  Undo undo;
  undo.cgroup = cgroup_path(linux_config.cgroups_path, args.container.id, args.systemd_cgroup);
  Cgroup cgroup(undo.cgroup);
  refuse_foreign_cgroup(cgroup);  // before remove() could take its processes for ours
  if (args.systemd_cgroup) undo.unit = unit_name(linux_config.cgroups_path, args.container.id).unit;
  // Of the host's own there is nothing to undo.
  if (!in_host_network(*args.config))
    undo.netns = linux_config.find_namespace(spec::NamespaceType::kNetwork)->path;
  if (pid_of_namespace_path(undo.netns)) undo.netns.clear();  // ends with its processes
  undo.save(args.container.folder);

  Child shim;
  Seat seat;
  try {
    UniqueFd netns = open_network_namespace(*args.config);
    SystemdUnit unit(undo.unit);
    if (!undo.unit.empty()) start_unit(args, unit, cgroup, undo);
    {
      trace::Span span("sandbox");
      seat = take_seat(o_, args, cgroup, undo);
    }
    // From here on the VM boots, whatever we wait for.
    trace::Span shim_span("shim");
    UniqueFd root = open_file(args.rootfs, O_PATH | O_DIRECTORY), shim_socket;
    shim = spawn_shim(args.container.id, args.stdio, cgroup, netns.get(), {root.get(), kShimRootFd},
                      shim_socket);
    undo.shim = identify(shim.pid);
    undo.save(args.container.folder);
    wait_for_shim(shim_socket.get());
    shim_span.end();
    unit.release();
    if (args.on_runtime_created) args.on_runtime_created(shim.pid);
    ask_create(args, seat.connection.get(), shim.pid, shim_socket.get());
    if (seat.made_vm && linux_config.resources)
      apply_host_limits(cgroup, undo.unit, host_resources_at_gate(*linux_config.resources));
    return shim.pid;
  } catch (...) {
    seat.connection.reset();
    kill_and_reap(shim);
    try {
      remove(args.container);
    } catch (const Error& e) {
      spdlog::error("after a failed create: {}", e.what());
    }
    throw;
  }
}

// The guest has one hierarchy, and it is v2.
std::string sub_cgroup(const std::vector<std::string>& texts) {
  const std::vector<SubCgroup> subs = parse_sub_cgroups(texts);
  for (const SubCgroup& sub : subs)
    if (!sub.controllers.empty())
      throw Error(ErrorKind::kUnsupported, "--cgroup: unknown controller " + printable(sub.controllers[0]) +
                                               ": the guest has cgroup v2, give a path only");
  return subs.empty() ? "" : subs.back().path;
}

pid_t VmBackend::exec(const ExecArgs& args) {
  refuse_preserved(args.preserve_fds);
  Undo undo;
  if (!Undo::load(args.container.folder, undo) || !is_alive(undo.shim))
    throw Error(ErrorKind::kWrongState, "cannot exec in a stopped container");
  if (geteuid() != 0) join_user_namespace(undo.shim.pid);
  UniqueFd netns = open_file("/proc/" + std::to_string(undo.shim.pid) + "/ns/net", O_RDONLY);
  UniqueFd mounts = open_file("/proc/" + std::to_string(undo.shim.pid) + "/ns/mnt", O_RDONLY);
  // By file, since it may be larger than a message.
  const UniqueFd process =
      write_memfd(spec::encode_process(*args.process).dump(-1, ' ', false, Json::error_handler_t::replace));
  UniqueFd shim_socket;
  Child shim = spawn_shim(args.container.id, args.stdio, Cgroup(undo.cgroup), netns.get(),
                          {mounts.get(), kShimMountsFd}, shim_socket);
  try {
    wait_for_shim(shim_socket.get());  // else a process that ends at once would take its socket away
    std::vector<int> fds = process_fds(args.stdio, shim_socket.get());
    fds.push_back(process.get());
    ask(args.container,
        {{"op", "exec"},
         {"terminal", args.stdio.terminal},
         {"shim", shim.pid},
         {"cgroup", sub_cgroup(args.cgroups)},
         {"ignore_paused", args.ignore_paused}},
        deadline::kControlReply, fds);
  } catch (...) {
    kill_and_reap(shim);
    throw;
  }
  return shim.pid;
}

Status VmBackend::status(const ContainerRef& c) {
  try {
    return status_from_name(ask(c, {{"op", "status"}}, deadline::kControlReply).value("status", ""));
  } catch (const Error& e) {
    // No sandbox, or one that ended while it was asked.
    if (e.kind() == ErrorKind::kWrongState) return Status::kStopped;
    throw;
  }
}

void VmBackend::kill(const ContainerRef& c, int signal, bool all) {
  try {
    ask(c, {{"op", "kill"}, {"signal", signal}, {"all", all}}, deadline::kControlReply);
  } catch (const Error& e) {
    // With --all engines sweep up after the end: nothing left to kill is what they want.
    if (!all || e.kind() != ErrorKind::kWrongState) throw;
  }
}

void VmBackend::update(const ContainerRef& c, const spec::Resources& resources) {
  Undo undo;
  if (Undo::load(c.folder, undo)) {
    Cgroup cgroup(undo.cgroup);
    spec::Resources at_once;
    if (resources.cpu) at_once.cpu = host_cpu(*resources.cpu);
    if (undo.made_vm)
      at_once.block_io = resources.block_io;
    else
      warn_about_member_io(resources.block_io);
    apply_host_limits(cgroup, undo.unit, at_once);
    if (undo.made_vm) apply_host_limits(cgroup, undo.unit, host_resources_at_gate(resources));
  }
  Json reply = ask(c, {{"op", "update"}, {"resources", spec::encode_resources(guest_resources(resources))}},
                   deadline::kControlReply);
  log_warnings(reply);
}

std::vector<ProcessRow> VmBackend::processes(const ContainerRef& c) {
  std::vector<ProcessRow> rows;
  const UniqueFd file = write_memfd({});
  ask(c, {{"op", "ps"}}, deadline::kControlReply, {file.get()});
  for (const Json& p : Json::parse(read_file("/proc/self/fd/" + std::to_string(file.get()))))
    rows.push_back({p.at("pid"), p.at("ppid"), p.at("uid"), p.at("start"), p.at("cpu"), p.at("virtual"),
                    p.at("resident"), p.at("tty"), p.at("state"), p.at("command")});
  return rows;
}

std::vector<pid_t> VmBackend::host_pids(const ContainerRef& c) {
  // The shims: one for each process that the host knows of.
  return ask(c, {{"op", "shims"}}, deadline::kControlReply).at("pids").get<std::vector<pid_t>>();
}

// husk-sandbox, QEMU and virtiofsd are in the cgroup of one container. When that goes they move to another's,
// and their memory limit with them.
void move_processes(const Cgroup& from, const std::string& heir_folder) {
  Undo heir;
  if (!Undo::load(heir_folder, heir)) throw Error(ErrorKind::kNotFound, heir_folder + " has gone");
  Cgroup to(heir.cgroup);
  apply_host_limits(to, heir.unit, vm_memory_limit(from));
  for (pid_t pid : from.pids()) to.add(pid);
}

// Takes the container out of its VM. False: others are in it, and the VM's processes are in their cgroups;
// true: it has ended.
bool VmBackend::leave_sandbox(const ContainerRef& c, const Undo& undo) {
  for (int i = 0; i < kAttempts; ++i) {
    std::string heir;
    bool answered = false;
    try {
      heir = request(undo.sandbox_folder, {{"op", "remove"}, {"id", c.id}}, {}, deadline::kControlReply)
                 .value("heir", "");
      answered = true;
    } catch (const Error& e) {
      spdlog::debug("removing {} from its sandbox: {}", c.id, e.what());
      answered = e.kind() == ErrorKind::kWrongState;  // it is ending already, and does not listen any more
    }
    if (heir.empty()) {
      UniqueFd pidfd = open_process(undo.sandbox);
      if (pidfd && (!answered || !wait_pidfd(pidfd.get(), deadline::kDeleteEnd))) kill_process(undo.sandbox);
      return true;
    }
    try {
      kill_process(undo.shim);
      Cgroup own(undo.cgroup);
      if (!own.pids().empty()) move_processes(own, path_join(o_.root, heir));
      return false;
    } catch (const Error& e) {
      spdlog::debug("moving the VM to {}: {}", heir, e.what());  // it may be on its way out, too
    }
  }
  spdlog::warn("{}: the VM could not be moved to another container's cgroup: ending it", c.id);
  kill_process(undo.sandbox);
  return true;
}

void VmBackend::remove(const ContainerRef& c) {
  Undo undo;
  if (!Undo::load(c.folder, undo)) return;
  // Else another delete, who was told that we live on, could move the VM into a cgroup that we are about to
  // empty.
  const UniqueFd lock = lock_sandbox_folder(undo.sandbox_folder);
  const bool vm_ended = leave_sandbox(c, undo);
  kill_process(undo.shim);
  if (!undo.cgroup.empty()) {
    Cgroup cgroup(undo.cgroup);
    cgroup.kill_all(SIGKILL);  // what a killed husk-sandbox may have left for a moment
    SystemdUnit(undo.unit).stop();
    cgroup.remove(deadline::kCgroupRemove);
  }
  if (!vm_ended) return;
  if (!undo.netns.empty() && path_exists(undo.netns)) unsplice_all(undo.netns);
  remove_sandbox_folder(undo.sandbox_folder);
}

}  // namespace

BootRequest boot_request(const BackendOptions& o, const Size& size) {
  BootRequest boot;
  boot.machine = machine_for(o.options, size);
  boot.virtiofsd = o.options.virtiofsd;
  boot.virtiofs_cache = o.options.cache;
  boot.log_path = o.log_path.empty() ? "" : absolute_path(o.log_path);
  boot.log_format = o.log_format;
  boot.log_level = o.debug ? "debug" : o.options.log_level;
  return boot;
}

std::unique_ptr<Backend> make_vm_backend(BackendOptions options) {
  return std::make_unique<VmBackend>(std::move(options));
}

}  // namespace husk::vm
