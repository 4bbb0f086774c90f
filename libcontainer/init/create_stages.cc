// The birth of a container's first process. The sync protocol (control.h), over one SOCK_SEQPACKET socket:
//
//   parent (agent, host backend)        stage 1 (husk-init)              stage 2 (becomes the user's process)
//   ----------------------------        -------------------              ------------------------------------
//   spawn (long before, for a spare) ──► kWaiting
//   request + config ──────────────────► joins namespaces with paths
//                                        clone3(CLONE_PARENT, NEW…) ────► waits on a pipe
//                                        uid/gid maps, cgroup
//   ◄──────────── kPid + pidfd ────────  wakes it ───────────────────────► mounts, root, user, capabilities …
//   reaps stage 1 ◄───────────────────── exits 0                          looks args[0] up
//   ◄────────────────────────────────────────── kReady + console, filter ─
//   create() returns                                                      waits: EOF → exits
//   start(): kStart ─────────────────────────────────────────────────────► startContainer hooks, filter,
//   (kTrace, where the request asks for it: what took how long)
//   execve ◄──────────────────────────────────── EOF (close-on-exec): it runs ────
//
// A spare may be born, too, long before: is_birth → clone3, kPid; then stage 2 says kWaiting, and has the
// request proper. Either stage may say kError instead of its next word. On the host: stage 1 joins the cgroup
// before it clones; stage 2 says kRuntimeCreated before createContainer hooks and waits for kGoOn; kStart
// comes from another process, over a connection to a listening socket.
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "libcontainer/base/file.h"
#include "libcontainer/base/trace.h"
#include "libcontainer/init/birth.h"
#include "libcontainer/init/listener.h"
#include "libcontainer/init/process_setup.h"
#include "libcontainer/linux/attributes.h"
#include "libcontainer/linux/devices.h"
#include "libcontainer/linux/hooks.h"
#include "libcontainer/linux/mounts.h"
#include "libcontainer/linux/namespaces.h"
#include "libcontainer/linux/netlink.h"
#include "libcontainer/linux/rootfs.h"
#include "libcontainer/linux/sysctl.h"
#include "libcontainer/linux/user.h"
#include "spec/codec.h"

namespace husk {
namespace {

using spec::NamespaceType;

const spec::Namespace* find(const InitRequest& r, NamespaceType type) {
  return r.linux_().find_namespace(type);
}
bool is_new(const InitRequest& r, NamespaceType type) {
  const spec::Namespace* ns = find(r, type);
  return ns && ns->path.empty();
}

// Namespaces that clone3 makes. Not the cgroup's, which takes the cgroup it is made in as its root, nor
// time's, whose clocks have to be set before somebody lives there. A mount namespace always: the rootfs is
// never entered without one.
int clone_flags(const InitRequest& r) {
  int flags = new_namespace_flags(r.linux_().namespaces) & ~(CLONE_NEWCGROUP | CLONE_NEWTIME);
  if (!find(r, NamespaceType::kMount)) flags |= CLONE_NEWNS;
  return flags;
}

constexpr int kNewbornFlags = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS;

void enter_cgroup_namespace(const InitRequest& r) {
  if (is_new(r, NamespaceType::kCgroup)) check(unshare(CLONE_NEWCGROUP), "making a cgroup namespace");
}

void join_keyring(const InitRequest& r) {
  if (!r.no_new_keyring) join_session_keyring("_ses." + r.id);
}

void set_host_names(const InitRequest& r) {
  const std::string &host = r.config.hostname, &domain = r.config.domainname;
  if (!find(r, NamespaceType::kUts)) return;  // never the names of whoever runs us
  if (!host.empty()) check(sethostname(host.c_str(), host.size()), "setting the hostname");
  if (!domain.empty()) check(setdomainname(domain.c_str(), domain.size()), "setting the domainname");
}

void make_mounts(InitRequest& r, const Root& root) {
  MountContext context;
  context.cgroup_namespace = find(r, NamespaceType::kCgroup) != nullptr;
  context.cgroup = r.cgroup;
  context.foreign_network = find(r, NamespaceType::kUser) && !is_new(r, NamespaceType::kNetwork);
  r.bind_sources.resize(r.config.mounts.size());
  for (size_t i = 0; i < r.config.mounts.size(); ++i)
    apply_mount(root, r.config.mounts[i], context, std::move(r.bind_sources[i]));
}

// With our own rights and in our own /proc: the root of a user namespace may not reach them, and cannot idmap
// them.
void open_bind_sources(InitRequest& r) {
  const spec::Namespace* user = find(r, NamespaceType::kUser);
  UniqueFd users;  // for mounts that are idmapped without mappings of their own
  for (const spec::Mount& mount : r.config.mounts) {
    UniqueFd& source = r.bind_sources.emplace_back();
    const MountOptions o = parse_mount_options(mount);
    if (!o.bind || !(user || o.idmap)) continue;
    if (user && o.idmap && !users)
      users = user->path.empty() ? make_user_namespace(r.linux_().uid_mappings, r.linux_().gid_mappings)
                                 : open_file(user->path, O_RDONLY);
    try {
      with_context("mounting " + printable(mount.destination), [&] {
        source = open_bind_source(mount, o, users.get());
        // What the container mounts below it must not appear outside.
        set_mount_attributes(source.get(), 0, 0, MS_SLAVE, true);
      });
    } catch (const Error& e) {
      // Who has no rights outside leaves it to the namespace's root.
      if (e.errnum() != EPERM || o.idmap) throw;
      source.reset();
    }
  }
}

// A /dev that comes from outside by a bind mount is complete, and not ours to write to.
void fill_dev(const InitRequest& r, const Root& root) {
  for (const spec::Mount& mount : r.config.mounts)
    if (clean_path(mount.destination) == "/dev" && parse_mount_options(mount).bind) return;
  make_devices(root, r.linux_().devices, find(r, NamespaceType::kUser) != nullptr);
  link_default_devices(root);
}

void open_console(InitRequest& r, const Root& root) {
  if (!r.process().terminal) return;
  r.terminal = open_terminal(root, r.process().console_size);
  mount_console(root, r.terminal);
  attach_terminal(r.terminal);
}

void seal_rootfs(const InitRequest& r, const Root& root) {
  seal_mounts(root, r.config.mounts);
  make_paths_readonly(root, r.linux_().readonly_paths);
  mask_paths(root, r.linux_().masked_paths);
  if (r.config.root && r.config.root->readonly) make_rootfs_readonly(root);
}

std::string state_text(const InitRequest& r, const char* status) {
  spec::State state;
  state.id = r.id;
  state.status = status;
  state.pid = getpid();
  state.bundle = r.bundle;
  state.annotations = r.config.annotations;
  return spec::encode_state(state).dump();
}

void run_hooks_of(const InitRequest& r, const std::vector<spec::Hook>& hooks, const char* status) {
  if (!hooks.empty()) run_hooks(hooks, state_text(r, status));
}

// The network namespace of a container with a user namespace of its own may be an outer one's, where only who
// is outside may write.
bool sets_network_outside(const InitRequest& r) {
  return is_new(r, NamespaceType::kUser) && !is_new(r, NamespaceType::kNetwork);
}

void apply_sysctls_of(const InitRequest& r, bool network) {
  std::map<std::string, std::string> chosen;
  for (const auto& [name, value] : r.linux_().sysctl)
    if ((name.starts_with("net.") || name.starts_with("net/")) == network) chosen[name] = value;
  apply_sysctls(chosen);
}

[[noreturn]] void stage2(InitRequest& r) {
  // Who we are.
  trace::Span identity("identity");
  if (find(r, NamespaceType::kUser)) become_namespace_root();
  umask(0);
  enter_cgroup_namespace(r);
  setsid();
  join_keyring(r);
  set_host_names(r);
  if (is_new(r, NamespaceType::kNetwork)) set_link_up("lo");
  apply_sysctls_of(r, false);
  if (!sets_network_outside(r)) apply_sysctls_of(r, true);
  prepare_seccomp(r);
  identity.end();

  // What we see.
  trace::Span mounts("mounts");
  prepare_rootfs(r.rootfs, r.linux_().rootfs_propagation);
  Root root(r.rootfs);
  make_mounts(r, root);
  fill_dev(r, root);
  root.make_dirs(r.process().cwd);
  open_console(r, root);
  mounts.end();
  hold_for_hooks(r);
  check(fchdir(root.fd()), "chdir to the root");  // where createContainer hooks find themselves, as runc's do
  with_context("createContainer hook", [&] { run_hooks_of(r, r.config.hooks.create_container, "creating"); });
  trace::Span root_span("root");
  seal_rootfs(r, root);
  switch_root(root, r.no_pivot, r.linux_().rootfs_propagation);
  root_span.end();

  // What we become.
  Program program = become_process(r);
  stand_at_gate(r, program);
  run_hooks_of(r, r.config.hooks.start_container, "created");
  execute(r, program);
}

// What stage 1 would have done, and what the clone.
[[noreturn]] void stage2_of_newborn(InitRequest& r) {
  trace::Span span("namespaces");
  apply_outer_attributes(r);
  connect_listener(r);
  check(unshare(CLONE_NEWNS), "making a mount namespace");
  span.end();
  stage2(r);
}

}  // namespace

// The UTS namespace was copied before the VM had a name.
bool fits_newborn(const spec::Config& config) {
  if (!config.linux_ || config.hostname.empty()) return false;
  const std::vector<spec::Namespace>& namespaces = config.linux_->namespaces;
  return (new_namespace_flags(namespaces) & ~CLONE_NEWCGROUP) == (kNewbornFlags | CLONE_NEWNS) &&
         std::ranges::all_of(namespaces, [](const spec::Namespace& ns) { return ns.path.empty(); }) &&
         std::ranges::none_of(config.mounts,
                              [](const spec::Mount& m) { return parse_mount_options(m).idmap; });
}

int birth_stage1(InitRequest& r) {
  UniqueFd cgroup = open_cgroup(r.cgroup);
  give_birth(
      r, kNewbornFlags, std::move(cgroup), [](pid_t) {},
      [&] {
        if (receive_request(r)) stage2_of_newborn(r);
      });
  _exit(0);
}

int create_stage1(InitRequest& r) {
  if (r.rootfs.empty()) throw Error(ErrorKind::kInvalid, "no rootfs");
  trace::Span span("namespaces");
  UniqueFd cgroup = open_cgroup(r.cgroup);
  apply_outer_attributes(r);
  join_host_cgroup(r);
  connect_listener(r);
  open_bind_sources(r);
  std::vector<NamespaceFd> joined = open_namespaces(r.linux_().namespaces);
  join_namespaces(joined);
  if (sets_network_outside(r)) apply_sysctls_of(r, true);
  if (is_new(r, NamespaceType::kTime)) make_time_namespace(r.linux_().time_offsets);
  span.end();
  give_birth(
      r, clone_flags(r), std::move(cgroup),
      [&](pid_t pid) {
        if (is_new(r, NamespaceType::kUser))
          write_id_maps(pid, r.linux_().uid_mappings, r.linux_().gid_mappings);
      },
      [&] { stage2(r); });
  // No exit handlers: a sanitizer's would wait for a thread that a pid namespace we have joined hides from
  // it.
  _exit(0);
}

}  // namespace husk
