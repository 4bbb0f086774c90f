#include "vm/sandbox/seat.h"

#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <utility>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/process.h"
#include "libcontainer/base/trace.h"
#include "vm/pool/pool.h"
#include "vm/sandbox/control.h"
#include "vm/sandbox/limits.h"
#include "vm/sandbox/placement.h"
#include "vm/sandbox/sandbox_folder.h"
#include "vm/template/template_store.h"

namespace husk::vm {
namespace {

// Asked so often: a sandbox may end between question and answer.
constexpr int kAttempts = 5;

// Makes the template if this is the first container that needs it.
std::string template_for(const MachineConfig& machine, const spec::Options& options) {
  if (!options.use_template) return "";
  trace::Span span("template");
  try {
    TemplateStore templates(options.template_folder, options.template_cap);
    return templates.make(machine, options.virtiofsd) ? options.template_folder : "";
  } catch (const Error& e) {
    spdlog::warn("without a template: {}", e.what());
    return "";
  }
}

// All but where it lives.
BootRequest boot_for(const BackendOptions& o, const Backend::CreateArgs& args, const Size& size) {
  BootRequest boot = boot_request(o, size);
  boot.id = args.container.id;
  boot.takes_all = pod_role(*args.config).is_sandbox;
  boot.trace_path = o.trace_path;
  return boot;
}

// husk-sandbox gets everything it needs in its first message, so it parses no options of its own.
Child spawn_sandbox(const BackendOptions& o, const Backend::CreateArgs& args, const Cgroup& cgroup,
                    const Size& size, SandboxFolder& place, UniqueFd& creator) {
  BootRequest boot = boot_for(o, args, size);
  boot.folder = place.path;
  boot.template_folder = template_for(boot.machine, o.options);
  trace::Span span("spawn husk-sandbox");
  const TscMeter tsc;  // the spawn takes as long anyhow
  auto [ours, theirs] = socket_pair(SOCK_SEQPACKET);
  SpawnOptions spawn_options;
  spawn_options.argv = {path_join(program_dir(), "husk-sandbox"), args.container.id};
  spawn_options.fds = {{theirs.get(), kCreatorFd}, {place.listener.get(), kListenerFd}};
  spawn_options.cwd = "/";
  spawn_options.new_session = true;
  const UniqueFd birthplace = cgroup.open_unified();
  spawn_options.cgroup = birthplace.get();
  spawn_options.before_exec = [&cgroup] { cgroup.add_self(); };
  Child child = spawn(spawn_options);
  place.listener.reset();
  creator = std::move(ours);
  if (boot.template_folder.empty() && boot.machine.accel == Accel::kTcg) boot.machine.tsc_khz = tsc.khz();
  send_message(creator.get(), boot_to_json(boot));
  return child;
}

// False: that sandbox is ending.
bool join(const Backend::CreateArgs& args, UniqueFd control, bool takes_all, Undo& undo) {
  try {
    Json reply =
        converse(control.get(), {{"op", "join"}, {"id", args.container.id}, {"takes_all", takes_all}}, {},
                 deadline::kControlReply);
    undo.sandbox = identify(reply.at("pid"));
    undo.save(args.container.folder);
    return true;
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kWrongState) throw;
    return false;
  }
}

// A VM of the pool, for who would make one. A member of a pod mostly joins.
PooledVm take_waiting(const BackendOptions& o, const Backend::CreateArgs& args, const PodRole& role) {
  if (!role.pod.empty() && !role.is_sandbox) return {};
  trace::Span span("pool");
  const Pool pool(o.options.template_folder);
  return pool.empty() ? PooledVm{} : pool.take(boot_for(o, args, vm_size(*args.config, o.options)), o.root);
}

}  // namespace

Seat take_seat(const BackendOptions& o, const Backend::CreateArgs& args, Cgroup& cgroup, Undo& undo) {
  const PodRole role = pod_role(*args.config);
  const std::string named = named_sandbox(*args.config, o.root);
  cgroup.create();  // before the VM knows of us: it may have to move in
  PooledVm waiting;
  if (named.empty()) waiting = take_waiting(o, args, role);
  const auto note = [&](const std::string& folder) {
    undo.sandbox_folder = folder;
    undo.save(args.container.folder);
  };
  for (int i = 0; i < kAttempts; ++i) {
    SandboxFolder place;
    if (named.empty()) {
      place = claim_sandbox_folder(o.root, role.pod.empty() ? args.container.id : role.pod, !role.pod.empty(),
                                   note, waiting.path);
    } else {
      place.path = named;
      if (!connect_control(named, place.control)) break;
    }
    if (place.control) {
      note(place.path);
      UniqueFd connection = dup_fd(place.control.get());
      if (!join(args, std::move(place.control), role.is_sandbox, undo)) continue;
      apply_host_limits(cgroup, undo.unit, host_resources(*args.config, nullptr));
      if (args.config->linux_->resources) warn_about_member_io(args.config->linux_->resources->block_io);
      return {std::move(connection), false};
    }
    Seat seat{{}, true};
    const Size size = vm_size(*args.config, o.options);
    apply_host_limits(cgroup, undo.unit, host_resources(*args.config, &size));
    undo.made_vm = true;
    undo.sandbox = identify(waiting ? waiting.pids.at(0)
                                    : spawn_sandbox(o, args, cgroup, size, place, seat.connection).pid);
    undo.save(args.container.folder);
    if (waiting) {
      for (pid_t pid : waiting.pids) cgroup.add(pid);
      seat.connection = std::move(waiting.connection);
    }
    return seat;
  }
  throw Error(ErrorKind::kWrongState, "the VM of the containers to join is ending");
}

}  // namespace husk::vm
