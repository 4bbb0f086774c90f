// husk: one short-lived process per command. The global flags, then the command's own main in its own file.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "cmd/husk/commands.h"
#include "cmd/husk/version.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/log.h"
#include "libcontainer/base/rootless.h"
#include "libcontainer/base/trace.h"

namespace husk::cmd {
namespace {

// An fd that we open must never become somebody's stdin, stdout or stderr.
void fill_standard_fds() {
  for (int fd = 0; fd <= 2; ++fd)
    if (fcntl(fd, F_GETFD) < 0) (void)!open("/dev/null", O_RDWR);
}

bool asks_for_help(const std::string& word) {
  return word == "help" || word == "h" || word == "--help" || word == "-h";
}

// Returns the words that are left: the command and its arguments. `help COMMAND` has become `COMMAND --help`.
Args parse_globals(const Args& args, Globals& globals, bool& version) {
  std::string criu;
  globals.root = Store::default_root();
  Flags flags("husk [global options] COMMAND [options] [arguments]",
              "A runc-compatible OCI runtime that puts every container into a microVM.");
  flags.stop_at_first_word()
      .text("--root", globals.root, "where the containers' state is kept")
      .text("--log", globals.log, "file to append the log to (default: stderr)")
      .text("--log-format", globals.log_format, "text or json")
      .flag("--debug", globals.debug, "log more")
      .flag("--systemd-cgroup", globals.systemd_cgroup,
            "make cgroups as units of systemd; cgroupsPath is SLICE:PREFIX:NAME")
      .text("--rootless", globals.rootless, "true, false or auto")
      .text("--config", globals.config_file, "husk's own configuration (default: /etc/husk/husk.toml)")
      .text("--trace", globals.trace, "file to append a timeline of the start to, for Perfetto")
      .text("--vm", globals.vm,
            "what runs new containers: qemu, or none for the host's own kernel (default: as configured)")
      .text("--criu", criu, "accepted and not used")
      .flag("-v,--version", version, "print the version")
      .footer(command_list());
  Args words = flags.parse(args);
  globals.root = absolute_path(globals.root);
  if (globals.rootless != "true" && globals.rootless != "false" && globals.rootless != "auto")
    throw Error(ErrorKind::kInvalid,
                "--rootless: true, false or auto, got \"" + printable(globals.rootless, 80) + "\"");
  if (globals.rootless != "auto") set_rootless(globals.rootless == "true");
  if (words.empty() && !version) words = {"help"};
  if (words.empty() || !asks_for_help(words[0])) return words;
  if (words.size() == 1 || asks_for_help(words[1])) throw HelpShown{flags.help()};
  return {words[1], "--help"};
}

// How an error is told.
struct Failure {
  bool logging = false, log_to_file = false;
  int code = 1;
};

int call(const Args& args, Globals globals, Failure& failure) {
  const int64_t begin = trace::now();
  bool version = false;
  const Args words = parse_globals(args, globals, version);
  if (version) {
    print(version_text());
    return 0;
  }
  init_log({globals.log, globals.log_format, globals.debug, ""});
  failure.logging = true;
  failure.log_to_file = !globals.log.empty() && globals.log != "/dev/stderr";
  const Command* command = find_command(words[0]);
  if (!command)
    throw Error(ErrorKind::kInvalid,
                "No help topic for '" + printable(words[0], 80) + "': no such command (see husk --help)");
  if (!globals.trace.empty())
    with_context("--trace", [&] { trace::to_file(absolute_path(globals.trace), "husk"); });
  if (trace::on()) trace::add_span("arguments", begin, trace::now());
  trace::Span span(command->name);
  Context context(std::move(globals), failure.code);
  return command->run(context, Args(words.begin() + 1, words.end()));
}

// As runc: a line in the log; if that isn't stderr, the bare message there, which conmon hands on word for
// word.
int fail(const char* what, const Failure& failure) {
  const std::string message = one_line(what);
  if (failure.logging) spdlog::error("{}", message);
  if (!failure.logging || failure.log_to_file) fprintf(stderr, "%s\n", message.c_str());
  return failure.code;
}

int guarded(const Args& args) {
  Failure failure;
  try {
    return call(args, {}, failure);
  } catch (const HelpShown& help) {
    return fputs(help.text.c_str(), stdout) < 0 || fflush(stdout) != 0;
  } catch (const std::exception& e) {
    return fail(e.what(), failure);
  }
}

}  // namespace
}  // namespace husk::cmd

int main(int argc, char** argv) {
  husk::cmd::fill_standard_fds();
  signal(SIGPIPE, SIG_IGN);
  return husk::cmd::guarded({argv + 1, argv + argc});
}
