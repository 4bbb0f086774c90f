#include "vm/sandbox/pool_wait.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/log.h"
#include "libcontainer/base/trace.h"

namespace husk::vm {
namespace {

enum class Outcome { kWaits, kTaken, kOver };

// Its log and trace are the container's from here on.
void take_over_log(const BootRequest& boot) {
  LogOptions log{boot.log_path, boot.log_format, boot.log_level == "debug", boot.log_level};
  if (boot.log_path.empty()) log.path = "/dev/null";
  init_log(log);
  if (!boot.trace_path.empty()) trace::to_file(boot.trace_path, "husk-sandbox");
}

Outcome serve(Sandbox& sandbox, int socket, BootRequest& boot) {
  Message message;
  if (!receive_message(socket, message, deadline::kPoolRequest)) return Outcome::kWaits;
  const std::string op = message.body.value("op", "");
  if (op == "status") {
    send_message(socket, {{"vcpus", boot.machine.vcpus}, {"memory_mib", boot.machine.memory_mib}});
  } else if (op == "end") {
    send_message(socket, Json::object());
    return Outcome::kOver;
  } else if (op == "boot") {
    boot = boot_from_json(message.body);
    take_over_log(boot);
    sandbox.take(boot);
    send_message(socket, {{"pids", sandbox.pids()}});
    spdlog::debug("taken from the pool");
    return Outcome::kTaken;
  } else {
    send_message(socket, error_to_json(Error(ErrorKind::kWrongState, "this VM waits for a container")));
  }
  return Outcome::kWaits;
}

// Who asks and goes away, or says what cannot be, leaves it waiting. Once it is half a container's it must
// not.
Outcome accept_one(Sandbox& sandbox, int listener, UniqueFd& creator, BootRequest& boot) {
  UniqueFd socket(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) {
    // It stays in the queue, and would wake us at once.
    if (errno == EMFILE || errno == ENFILE) poll(nullptr, 0, static_cast<int>(deadline::kNoFds.count()));
    return Outcome::kWaits;
  }
  try {
    const Outcome outcome = serve(sandbox, socket.get(), boot);
    if (outcome == Outcome::kTaken) creator = std::move(socket);
    return outcome;
  } catch (const std::exception& e) {
    spdlog::warn("in the pool: {}", e.what());
    return boot.id.empty() ? Outcome::kWaits : Outcome::kOver;
  }
}

}  // namespace

bool wait_in_pool(Sandbox& sandbox, UniqueFd& creator, int listener, int signals, BootRequest& boot) {
  sandbox.wait_for_guest();
  Message word;
  send_message(creator.get(), Json::object());
  if (!receive_message(creator.get(), word, deadline::kControlReply)) return false;
  creator.reset();
  enum { kListener, kSignals, kVmm, kShare, kConsole, kCount };
  pollfd fds[kCount] = {{listener, POLLIN, 0},
                        {signals, POLLIN, 0},
                        {sandbox.vmm_pidfd(), POLLIN, 0},
                        {sandbox.share_pidfd(), POLLIN, 0},
                        {sandbox.console()->fd(), POLLIN, 0}};
  for (;;) {
    if (poll(fds, kCount, -1) < 0 && errno != EINTR) return false;
    if (fds[kConsole].revents && !sandbox.console()->pump()) fds[kConsole].fd = -1;
    if (fds[kSignals].revents || fds[kVmm].revents || fds[kShare].revents) return false;
    if (!fds[kListener].revents) continue;
    const Outcome outcome = accept_one(sandbox, listener, creator, boot);
    if (outcome != Outcome::kWaits) return outcome == Outcome::kTaken;
  }
}

}  // namespace husk::vm
