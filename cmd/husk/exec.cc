#include "cmd/husk/commands.h"
#include "cmd/husk/exec_process.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/log.h"
#include "libcontainer/container/foreground.h"
#include "libcontainer/container/stdio.h"
#include "spec/codec.h"
#include "spec/validate.h"

namespace husk::cmd {
namespace {

struct ExecFlags {
  std::string console_socket, pid_file, process_file;
  std::vector<std::string> cgroups;
  bool detach = false, ignore_paused = false;
  uint32_t preserve_fds = 0;
  ProcessFlags process;
};

Args parse(ExecFlags& f, const Args& args) {
  Flags flags("husk exec [options] ID COMMAND [argument...]\n       husk exec [options] --process FILE ID",
              "Run another process in a container; in the foreground its exit code is husk's.");
  flags.stop_at_first_word()
      .text("--console-socket", f.console_socket, "socket that gets the terminal's master")
      .text("-p,--process", f.process_file, "JSON file of the whole process")
      .flag("-d,--detach", f.detach, "return once the process runs")
      .text("--pid-file", f.pid_file, "file to write the process id to")
      .number("--preserve-fds", f.preserve_fds, "pass on so many fds from 3 on")
      .list("--cgroup", f.cgroups, "[CONTROLLER[,...]:]PATH of a cgroup below the container's")
      .flag("--ignore-paused", f.ignore_paused, "exec in a paused container, too");
  f.process.add_to(flags);
  Args words = flags.parse(args);
  check_words("exec", words, 1, SIZE_MAX);
  return words;
}

spec::Process load_process(const ExecFlags& f, const Container& container, const Args& words) {
  spec::Process process;
  spec::Config config = container.config();
  if (!config.process) throw Error(ErrorKind::kInvalid, "the container's config has no process");
  if (!f.process_file.empty()) {
    process = with_context(f.process_file, [&] { return spec::decode_process(read_file(f.process_file)); });
    fill_from(process, *config.process);
  } else {
    process = build_process(std::move(*config.process), f.process, Args(words.begin() + 1, words.end()));
  }
  spec::validate_process(process);
  for (const std::string& warning : spec::process_warnings(process)) spdlog::warn("{}", warning);
  return process;
}

}  // namespace

int exec(Context& context, const Args& args) {
  ExecFlags f;
  const Args words = parse(f, args);
  context.set_error_code(255);  // as runc from here on: any other would be the process's
  if (words.size() < 2 && f.process_file.empty())
    throw Error(ErrorKind::kInvalid, "exec: no command given (process args cannot be empty)");
  Container container = context.load(words[0]);
  container.check_exec(f.ignore_paused);
  spec::Process process = load_process(f, container, words);

  Container::ExecOptions options;
  options.ignore_paused = f.ignore_paused;
  options.preserve_fds = take_preserved_fds(f.preserve_fds, process.env);
  if (!f.pid_file.empty()) options.pid_file = absolute_path(f.pid_file);
  const bool on_this_kernel = context.backend_of(words[0]).on_this_kernel();
  options.cgroups = f.cgroups;
  Stdio stdio({process.terminal, f.console_socket, f.detach, process.console_size, on_this_kernel});
  options.stdio = stdio.host();

  std::optional<Foreground> foreground;
  if (!f.detach) foreground.emplace();
  const pid_t pid = container.exec(process, options);
  spdlog::debug("exec in {}: {} has pid {}", words[0], printable(process.args[0], 80), pid);
  stdio.close_slave();
  return f.detach ? 0 : foreground->wait(pid, stdio.master());
}

}  // namespace husk::cmd
