#include "cmd/husk/create.h"

#include "cmd/husk/commands.h"
#include "cmd/husk/notify.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/log.h"
#include "libcontainer/base/trace.h"
#include "libcontainer/container/bundle.h"
#include "spec/id.h"
#include "spec/validate.h"

namespace husk::cmd {

void CreateFlags::add_to(Flags& flags) {
  flags.text("-b,--bundle", bundle, "folder of config.json (default: the current one)")
      .text("--console-socket", console_socket, "socket that gets the terminal's master")
      .text("--pid-file", pid_file, "file to write the process id to")
      .flag("--no-pivot", no_pivot, "chroot instead of pivot_root")
      .flag("--no-new-keyring", no_new_keyring, "keep the session keyring")
      .number("--preserve-fds", preserve_fds, "pass on so many fds from 3 on");
}

Container create_container(Context& context, const std::string& id, const CreateFlags& flags, bool detach,
                           std::optional<Stdio>& stdio) {
  spec::validate_id(id);
  trace::Span load("load bundle");
  Bundle bundle = Bundle::load(flags.bundle);
  for (const std::string& warning : spec::config_warnings(bundle.config)) spdlog::warn("{}", warning);
  spec::Process& process = *bundle.config.process;
  load.end();

  Container::CreateOptions options;
  options.id = id;
  options.preserve_fds = take_preserved_fds(flags.preserve_fds, process.env);
  if (!flags.pid_file.empty()) options.pid_file = absolute_path(flags.pid_file);
  options.no_pivot = flags.no_pivot;
  options.no_new_keyring = flags.no_new_keyring;
  options.systemd_cgroup = context.globals().systemd_cgroup;
  stdio.emplace(StdioOptions{process.terminal, flags.console_socket, detach, process.console_size,
                             context.new_backend().on_this_kernel()});
  options.stdio = stdio->host();
  offer_notify_socket(context, bundle, options);
  trace::Span span("create container");
  Container container = Container::create(context.store(), context.new_backend(), bundle, options);
  spdlog::debug("created {}: {} has pid {}", id, printable(process.args[0], 80), container.record().init.pid);
  stdio->close_slave();
  return container;
}

int create(Context& context, const Args& args) {
  CreateFlags create_flags;
  Flags flags("husk create [options] ID", "Create a container from a bundle; start runs its process.");
  create_flags.add_to(flags);
  const Args words = flags.parse(args);
  check_words("create", words, 1, 1);
  std::optional<Stdio> stdio;
  create_container(context, words[0], create_flags, true, stdio);
  return 0;
}

}  // namespace husk::cmd
