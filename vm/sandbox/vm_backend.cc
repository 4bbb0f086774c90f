#include "vm/sandbox/vm_backend.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/process.h"
#include "libcontainer/linux/cgroups.h"
#include "spec/codec.h"
#include "vm/net/network.h"
#include "vm/sandbox/control.h"
#include "vm/sandbox/placement.h"
#include "vm/sandbox/shim_protocol.h"
#include "vm/sandbox/undo.h"
#include "vm/sizing/sizing.h"
#include "vm/template/template_store.h"

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
  void start(const ContainerRef& c) override { ask(c, {{"op", "start"}}, deadline::kControlReply); }
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
  std::string template_for(const MachineConfig& machine) const;
  Child spawn_sandbox(const CreateArgs& args, const Cgroup& cgroup, const Size& size, UniqueFd& creator);
  Child spawn_shim(const std::string& id, const HostStdio& stdio, const Cgroup& cgroup, int netns,
                   std::pair<int, int> place, UniqueFd& peer);
  void ask_create(const CreateArgs& args, int creator, const std::string& sandbox_folder, pid_t shim,
                  int shim_socket);
  static void end_sandbox(const std::string& folder, const ProcessId& sandbox);
  static Json ask(const ContainerRef& c, Json body, std::chrono::milliseconds timeout,
                  const std::vector<int>& fds = {});

  BackendOptions o_;
};

// The fds of a new process, in the order in which husk-sandbox takes them.
std::vector<int> process_fds(const HostStdio& stdio, int shim_socket) {
  return {stdio.in, stdio.out, stdio.err, shim_socket};
}

void refuse_preserved(const std::vector<int>& fds) {
  if (!fds.empty())
    throw Error(ErrorKind::kUnsupported, "--preserve-fds: the host's fds cannot be passed into a VM");
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

// Makes the template if this is the first container that needs it.
std::string VmBackend::template_for(const MachineConfig& machine) const {
  if (!o_.options.use_template) return "";
  try {
    TemplateStore templates(o_.options.template_folder, o_.options.template_cap);
    return templates.make(machine) ? o_.options.template_folder : "";
  } catch (const Error& e) {
    spdlog::warn("without a template: {}", e.what());
    return "";
  }
}

// husk-sandbox gets everything it needs in its first message, so it parses no options of its own.
Child VmBackend::spawn_sandbox(const CreateArgs& args, const Cgroup& cgroup, const Size& size,
                               UniqueFd& creator) {
  BootRequest boot;
  boot.folder = args.container.folder;
  boot.machine = machine_for(o_.options, size);
  boot.template_folder = template_for(boot.machine);
  boot.virtiofsd = o_.options.virtiofsd;
  boot.virtiofs_cache = o_.options.cache;
  boot.log_path = o_.log_path.empty() ? "" : absolute_path(o_.log_path);
  boot.log_format = o_.log_format;
  boot.log_level = o_.debug ? "debug" : o_.options.log_level;

  auto [ours, theirs] = socket_pair(SOCK_SEQPACKET);
  SpawnOptions spawn_options;
  spawn_options.argv = {path_join(program_dir(), "husk-sandbox"), args.container.id};
  spawn_options.fds = {{theirs.get(), kCreatorFd}};
  spawn_options.cwd = "/";
  spawn_options.new_session = true;
  spawn_options.before_exec = [&cgroup] { const_cast<Cgroup&>(cgroup).add(getpid()); };
  Child child = spawn(spawn_options);
  creator = std::move(ours);
  send_message(creator.get(), boot_to_json(boot));
  return child;
}

// netns: -1 makes a new one for the shim. place: kShimRootFd or kShimMountsFd, as for SpawnOptions::fds.
Child VmBackend::spawn_shim(const std::string& id, const HostStdio& stdio, const Cgroup& cgroup, int netns,
                            std::pair<int, int> place, UniqueFd& peer) {
  auto [ours, theirs] = socket_pair(SOCK_SEQPACKET);
  SpawnOptions o;
  o.argv = {path_join(program_dir(), "husk-shim"), id};
  o.fds = {{theirs.get(), kShimSocketFd}, place};
  if (stdio.terminal) o.fds.emplace_back(stdio.in, kShimTerminalFd);
  o.cwd = "/";
  o.new_session = true;
  o.before_exec = [&] {
    const_cast<Cgroup&>(cgroup).add(getpid());
    if (netns >= 0)
      check(setns(netns, CLONE_NEWNET), "joining the network namespace");
    else
      check(unshare(CLONE_NEWNET), "unshare CLONE_NEWNET");
    if (stdio.terminal) check(ioctl(stdio.in, TIOCSCTTY, 0), "TIOCSCTTY");
  };
  Child child = spawn(o);
  peer = std::move(ours);
  return child;
}

void wait_for_shim(int socket) {
  ShimMessage ready{};
  if (!wait_readable(socket, static_cast<int>(std::chrono::milliseconds(deadline::kShimReady).count())))
    throw Error(ErrorKind::kTimeout, "husk-shim is not ready in time", ETIMEDOUT);
  if (recv(socket, &ready, sizeof ready, 0) != sizeof ready || ready.type != ShimMessageType::kReady)
    throw Error(ErrorKind::kInternal, "husk-shim ended before it was ready");
  if (ready.value) throw_errno("entering the container's root in husk-shim's mount namespace", ready.value);
}

void VmBackend::ask_create(const CreateArgs& args, int creator, const std::string& sandbox_folder, pid_t shim,
                           int shim_socket) {
  Json body = {{"op", "create"},
               {"id", args.container.id},
               {"bundle", args.bundle},
               {"rootfs", args.rootfs},
               {"config_file", path_join(args.container.folder, "guest-config.json")},
               {"terminal", args.stdio.terminal},
               {"shim", shim},
               {"no_pivot", args.no_pivot},
               {"no_new_keyring", args.no_new_keyring},
               {"splice", creator >= 0}};  // a member finds its sandbox's network as it is
  // By file, since a config may be larger than a message.
  write_file(body["config_file"], spec::encode_config(*args.config).dump(), true);
  UniqueFd netns = open_file("/proc/" + std::to_string(shim) + "/ns/net", O_RDONLY);
  std::vector<int> fds = process_fds(args.stdio, shim_socket);
  fds.push_back(netns.get());
  if (creator < 0) {
    request(sandbox_folder, body, fds, deadline::kCreateReply);
    return;
  }
  Message reply;
  if (!exchange(creator, body, fds, reply, deadline::kCreateReply))
    throw Error(ErrorKind::kGuestDied, "husk-sandbox ended while the container was created");
  throw_if_error(reply.body);
}

pid_t VmBackend::create(const CreateArgs& args) {
  refuse_preserved(args.preserve_fds);
  refuse_host_namespaces(*args.config);
  const spec::Linux& linux_config = *args.config->linux_;

  Undo undo;
  undo.sandbox_folder = find_sandbox(*args.config, o_.root);
  bool owner = undo.sandbox_folder.empty();
  if (owner) undo.sandbox_folder = args.container.folder;
  undo.cgroup = cgroup_path(linux_config.cgroups_path, args.container.id, args.systemd_cgroup);
  if (owner) undo.netns = linux_config.find_namespace(spec::NamespaceType::kNetwork)->path;
  undo.save(args.container.folder);

  Child shim;
  UniqueFd creator, shim_socket;
  try {
    UniqueFd netns = open_network_namespace(*args.config);
    uint64_t host_memory =
        static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
    Size size =
        size_for(*args.config, o_.options, static_cast<uint32_t>(sysconf(_SC_NPROCESSORS_ONLN)), host_memory);
    Cgroup cgroup(undo.cgroup);
    cgroup.create();
    for (const std::string& warning : cgroup.apply(host_resources(*args.config, size)))
      spdlog::debug("{}", warning);
    if (owner) {
      Child sandbox = spawn_sandbox(args, cgroup, size, creator);
      undo.sandbox = identify(sandbox.pid);
      undo.save(args.container.folder);
    }
    // From here on the VM boots, whatever we wait for.
    UniqueFd root = open_file(args.rootfs, O_PATH | O_DIRECTORY);
    shim = spawn_shim(args.container.id, args.stdio, cgroup, netns.get(), {root.get(), kShimRootFd},
                      shim_socket);
    undo.shim = identify(shim.pid);
    undo.save(args.container.folder);
    wait_for_shim(shim_socket.get());
    if (args.on_runtime_created) args.on_runtime_created(shim.pid);
    ask_create(args, creator.get(), undo.sandbox_folder, shim.pid, shim_socket.get());
    return shim.pid;
  } catch (...) {
    creator.reset();
    kill_and_reap(shim);
    try {
      remove(args.container);
    } catch (const Error& e) {
      spdlog::error("after a failed create: {}", e.what());
    }
    throw;
  }
}

pid_t VmBackend::exec(const ExecArgs& args) {
  refuse_preserved(args.preserve_fds);
  Undo undo;
  if (!Undo::load(args.container.folder, undo) || !is_alive(undo.shim))
    throw Error(ErrorKind::kWrongState, "cannot exec in a stopped container");
  UniqueFd netns = open_file("/proc/" + std::to_string(undo.shim.pid) + "/ns/net", O_RDONLY);
  UniqueFd mounts = open_file("/proc/" + std::to_string(undo.shim.pid) + "/ns/mnt", O_RDONLY);
  UniqueFd shim_socket;
  Child shim = spawn_shim(args.container.id, args.stdio, Cgroup(undo.cgroup), netns.get(),
                          {mounts.get(), kShimMountsFd}, shim_socket);
  try {
    ask(args.container,
        {{"op", "exec"},
         {"process", spec::encode_process(*args.process)},
         {"terminal", args.stdio.terminal},
         {"shim", shim.pid},
         {"ignore_paused", args.ignore_paused}},
        deadline::kControlReply, process_fds(args.stdio, shim_socket.get()));
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
  Json reply =
      ask(c, {{"op", "update"}, {"resources", spec::encode_resources(resources)}}, deadline::kControlReply);
  for (const auto& warning : reply.at("warnings")) spdlog::warn("{}", warning.get<std::string>());
}

std::vector<ProcessRow> VmBackend::processes(const ContainerRef& c) {
  std::vector<ProcessRow> rows;
  Json reply = ask(c, {{"op", "ps"}}, deadline::kControlReply);
  for (const Json& p : reply.at("processes"))
    rows.push_back(
        {p.at("pid"), p.at("ppid"), p.at("uid"), p.at("start"), p.at("cpu"), p.at("tty"), p.at("command")});
  return rows;
}

std::vector<pid_t> VmBackend::host_pids(const ContainerRef& c) {
  // The shims: one for each process that the host knows of.
  return ask(c, {{"op", "shims"}}, deadline::kControlReply).at("pids").get<std::vector<pid_t>>();
}

// By itself if it can, and in any case.
void VmBackend::end_sandbox(const std::string& folder, const ProcessId& sandbox) {
  UniqueFd pidfd = open_process(sandbox);
  if (!pidfd) return;
  bool asked = true;
  try {
    request(folder, {{"op", "end"}}, {}, deadline::kControlRequest);
  } catch (const Error& e) {
    spdlog::debug("asking husk-sandbox to end: {}", e.what());
    asked = e.kind() == ErrorKind::kWrongState;  // it is ending already, and does not listen any more
  }
  if (!asked || !wait_pidfd(pidfd.get(), deadline::kDeleteEnd)) kill_process(sandbox);
}

void VmBackend::remove(const ContainerRef& c) {
  Undo undo;
  if (!Undo::load(c.folder, undo)) return;
  if (undo.sandbox_folder == c.folder) {
    end_sandbox(c.folder, undo.sandbox);
  } else {
    try {
      request(undo.sandbox_folder, {{"op", "remove"}, {"id", c.id}}, {}, deadline::kControlReply);
    } catch (const Error& e) {
      spdlog::debug("removing {} from its sandbox: {}", c.id,
                    e.what());  // the sandbox has ended: so has its member
    }
  }
  kill_process(undo.shim);
  if (!undo.netns.empty() && path_exists(undo.netns)) unsplice_all(undo.netns);
  Cgroup cgroup(undo.cgroup);
  cgroup.kill_all(SIGKILL);  // what a killed husk-sandbox may have left for a moment
  cgroup.remove(deadline::kCgroupRemove);
}

}  // namespace

std::unique_ptr<Backend> make_vm_backend(BackendOptions options) {
  return std::make_unique<VmBackend>(std::move(options));
}

}  // namespace husk::vm
