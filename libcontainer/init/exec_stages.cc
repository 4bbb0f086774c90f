// A process that joins a container: the protocol of create_stages.cc, with namespaces entered instead of
// made.
#include <linux/sched.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "libcontainer/base/trace.h"
#include "libcontainer/init/birth.h"
#include "libcontainer/init/listener.h"
#include "libcontainer/init/process_setup.h"
#include "libcontainer/linux/attributes.h"
#include "libcontainer/linux/namespaces.h"
#include "libcontainer/linux/user.h"

namespace husk {
namespace {

void open_console(InitRequest& r) {
  if (!r.process().terminal) return;
  r.terminal = open_terminal(Root("/"), r.process().console_size);
  attach_terminal(r.terminal);
}

[[noreturn]] void stage2(InitRequest& r) {
  if (r.join_flags & CLONE_NEWUSER) become_namespace_root();
  umask(0);
  setsid();
  if (!r.no_new_keyring && !r.id.empty()) join_session_keyring("_ses." + r.id);
  open_console(r);
  Program program = become_process(r);
  stand_at_gate(r, program);
  execute(r, program);
}

}  // namespace

int exec_stage1(InitRequest& r) {
  trace::Span span("namespaces");
  UniqueFd cgroup = open_cgroup(r.cgroup);
  apply_outer_attributes(r);
  join_host_cgroup(r);
  connect_listener(r);
  prepare_seccomp(r);
  join_process(r.target.get(), r.join_flags);
  r.target.reset();
  span.end();
  // One more process, because a pid namespace is entered by children only.
  give_birth(
      r, 0, std::move(cgroup), [](pid_t) {}, [&] { stage2(r); });
  // No exit handlers: a sanitizer's would wait for a thread that the container's pid namespace hides from it.
  _exit(0);
}

}  // namespace husk
