// husk-sandbox: one per VM, started by `husk create`, which talks to it on fd 3. Not for people.
#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/log.h"
#include "libcontainer/base/process.h"
#include "libcontainer/base/trace.h"
#include "vm/sandbox/control_server.h"

int main() {
  signal(SIGPIPE, SIG_IGN);
  try {
    husk::raise_fd_limit();  // 7 for each process in the guest, 2 for each connection
    husk::UniqueFd creator = husk::dup_fd(husk::vm::kCreatorFd);
    husk::UniqueFd listener = husk::dup_fd(husk::vm::kListenerFd);
    close(husk::vm::kCreatorFd);
    close(husk::vm::kListenerFd);
    husk::Message message;
    if (!husk::receive_message(creator.get(), message, husk::deadline::kControlReply)) return 1;
    husk::vm::BootRequest boot = husk::vm::boot_from_json(message.body);
    husk::LogOptions log{boot.log_path, boot.log_format, boot.log_level == "debug", boot.log_level};
    if (boot.log_path.empty()) log.path = "/dev/null";
    husk::init_log(log);
    try {
      if (!boot.trace_path.empty()) husk::trace::to_file(boot.trace_path, "husk-sandbox");
    } catch (const husk::Error& e) {
      spdlog::warn("without a trace: {}", e.what());
    }
    return husk::vm::serve_sandbox(std::move(creator), std::move(listener), std::move(boot));
  } catch (const std::exception& e) {
    fprintf(stderr, "husk-sandbox: %s\n", e.what());
    return 1;
  }
}
