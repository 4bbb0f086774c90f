#include "libcontainer/linux/systemd_unit.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/message.h"

namespace husk {

using Verb = SystemdRequest::Verb;

namespace {

// Where the buses are.
std::vector<std::string> bus_environment() {
  std::vector<std::string> env;
  for (const char* name : {"DBUS_SYSTEM_BUS_ADDRESS", "DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"})
    if (const char* value = getenv(name)) env.push_back(std::string(name) + "=" + value);
  return env;
}

}  // namespace

SystemdUnit::Helper SystemdUnit::spawn_helper() const {
  auto [ours, theirs] = socket_pair(SOCK_SEQPACKET);
  SpawnOptions o;
  o.argv = {options_.helper.empty() ? path_join(program_dir(), "husk-systemd") : options_.helper, name_};
  o.env = bus_environment();
  o.fds = {{theirs.get(), STDIN_FILENO}};
  o.cwd = "/";
  return {spawn(o), std::move(ours)};
}

Json SystemdUnit::ask(SystemdRequest request, Helper& helper) const {
  request.unit = name_;
  request.timeout = options_.job_timeout;
  return with_context("--systemd-cgroup: unit " + printable(name_), [&] {
    helper = spawn_helper();
    try {
      send_message(helper.socket.get(), to_json(request));
      Message answer;
      if (!receive_message(helper.socket.get(), answer, deadline::kSystemdAnswer)) {
        const ExitStatus end = wait_child(helper.child, deadline::kProcessEnd);
        throw Error(ErrorKind::kInternal,
                    "husk-systemd ended without an answer, with " + std::to_string(end.shell_code()));
      }
      throw_if_error(answer.body);
      return answer.body;
    } catch (...) {
      kill_and_reap(helper.child);
      throw;
    }
  });
}

void SystemdUnit::ask(SystemdRequest request) const {
  Helper helper;
  ask(std::move(request), helper);
  kill_and_reap(helper.child);  // it has said all
}

void SystemdUnit::start(const spec::Config& config, const std::string& id, Cgroup& cgroup) {
  if (name_.empty()) return;
  const UnitName name = unit_name(config.linux_ ? config.linux_->cgroups_path : "", id);
  SystemdRequest request;
  request.verb = Verb::kStart;
  request.hold = !name.is_slice();
  request.properties = unit_frame(name, id, config.annotations, cgroup.v2_only());
  const Json answer = ask(std::move(request), holder_);
  if (name.is_slice()) release();
  const std::string group = answer.value("control_group", "");
  if (group.empty() || group == "/")
    throw Error(ErrorKind::kInternal, "--systemd-cgroup: unit " + printable(name_) + " has no cgroup");
  if (group != cgroup.path()) cgroup = Cgroup(group);
}

void SystemdUnit::release() noexcept {
  kill_and_reap(holder_.child);
  holder_.socket.reset();
}

void SystemdUnit::apply(const Cgroup& cgroup, const spec::Resources& resources) const {
  if (name_.empty()) return;
  cgroup.check_update(resources);
  SystemdRequest request;
  request.verb = Verb::kSet;
  request.properties = unit_limits(resources, cgroup.v2_only());
  if (!request.properties.empty()) ask(std::move(request));
}

void SystemdUnit::stop() const {
  if (name_.empty()) return;
  try {
    ask({});
  } catch (const Error& e) {
    // Its units ended with systemd itself.
    if (e.kind() != ErrorKind::kUnsupported) throw;
  }
}

}  // namespace husk
