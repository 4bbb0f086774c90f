#include "cmd/husk/commands.h"
#include "cmd/husk/create.h"
#include "cmd/husk/notify.h"
#include "libcontainer/base/log.h"
#include "libcontainer/base/trace.h"
#include "libcontainer/container/foreground.h"

namespace husk::cmd {
namespace {

// The exit code, or the error, that is on its way out matters more.
void delete_quietly(Context& context, const std::string& id) {
  trace::Span span("delete");
  try {
    delete_container(context.store(), context.backend_of(id), id, true);
  } catch (const Error& e) {
    spdlog::warn("deleting container {}: {}", id, e.what());
  }
}

}  // namespace

int run(Context& context, const Args& args) {
  CreateFlags create_flags;
  bool detach = false, keep = false, no_subreaper = false;
  Flags flags("husk run [options] ID",
              "Create and start a container; in the foreground its exit code is husk's.");
  create_flags.add_to(flags);
  flags.flag("-d,--detach", detach, "return once the process runs")
      .flag("--keep", keep, "do not delete the container after its end")
      .flag("--no-subreaper", no_subreaper, "accepted; husk needs no subreaper");
  const Args words = flags.parse(args);
  check_words("run", words, 1, 1);

  std::optional<Foreground> foreground;
  if (!detach) foreground.emplace();  // a signal that comes before there is a process is for it, too
  std::optional<Stdio> stdio;
  Container container = create_container(context, words[0], create_flags, detach, stdio);
  int code = 0;
  try {
    Notify notify(context, words[0]);
    {
      trace::Span span("start container");
      container.start();
    }
    trace::Span wait("wait");
    const pid_t pid = container.record().init.pid;
    if (detach)
      notify.wait(pid);
    else
      code = foreground->wait(pid, stdio->master(), &notify);
  } catch (...) {
    delete_quietly(context, words[0]);
    throw;
  }
  if (!detach && !keep) delete_quietly(context, words[0]);
  return code;
}

}  // namespace husk::cmd
