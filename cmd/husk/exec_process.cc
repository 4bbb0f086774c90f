#include "cmd/husk/exec_process.h"

#include <charconv>

#include "libcontainer/base/error.h"

namespace husk::cmd {
namespace {

uint32_t parse_id(std::string_view text, const std::string& whole) {
  uint32_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc() || end != text.data() + text.size())
    throw Error(ErrorKind::kInvalid, "--user: expected UID or UID:GID, got \"" + printable(whole, 80) + "\"");
  return id;
}

void add_capability(spec::Process& process, const std::string& name) {
  if (!process.capabilities) process.capabilities.emplace();
  spec::Capabilities& caps = *process.capabilities;
  for (std::vector<std::string>* set : {&caps.bounding, &caps.effective, &caps.permitted, &caps.ambient})
    set->push_back(name);
}

}  // namespace

void ProcessFlags::add_to(Flags& flags) {
  flags.text("--cwd", cwd, "working directory in the container")
      .list("-e,--env", env, "set an environment variable, NAME=value")
      .flag("-t,--tty", tty, "allocate a terminal")
      .text("-u,--user", user, "UID[:GID]")
      .numbers("-g,--additional-gids", additional_gids, "additional group")
      .text("--process-label", process_label, "SELinux label (not supported in the guest)")
      .text("--apparmor", apparmor, "AppArmor profile (not supported in the guest)")
      .flag("--no-new-privs", no_new_privs, "set no_new_privs")
      .list("-c,--cap", caps, "add a capability, CAP_NAME");
}

void set_user(spec::User& user, const std::string& text) {
  const size_t colon = text.find(':');
  if (colon != text.npos) user.gid = parse_id(std::string_view(text).substr(colon + 1), text);
  user.uid = parse_id(std::string_view(text).substr(0, colon), text);
}

void fill_from(spec::Process& process, const spec::Process& container) {
  if (!process.capabilities) process.capabilities = container.capabilities;
  if (!process.oom_score_adj) process.oom_score_adj = container.oom_score_adj;
}

spec::Process build_process(spec::Process base, const ProcessFlags& flags, const Args& args) {
  base.args = args;
  base.terminal = flags.tty;
  if (!flags.cwd.empty()) base.cwd = flags.cwd;
  if (!flags.user.empty()) set_user(base.user, flags.user);
  if (!flags.process_label.empty()) base.selinux_label = flags.process_label;
  if (!flags.apparmor.empty()) base.apparmor_profile = flags.apparmor;
  if (flags.no_new_privs) base.no_new_privileges = true;
  base.env.insert(base.env.end(), flags.env.begin(), flags.env.end());
  base.user.additional_gids.insert(base.user.additional_gids.end(), flags.additional_gids.begin(),
                                   flags.additional_gids.end());
  for (const std::string& name : flags.caps) add_capability(base, name);
  // The container's size is not that of the terminal which this one will have.
  base.console_size.reset();
  return base;
}

}  // namespace husk::cmd
