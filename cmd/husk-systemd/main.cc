// husk-systemd: one request to systemd, for husk, which is static and so has no libsystemd. Not for people.
#include <signal.h>
#include <unistd.h>

#include <cstdio>

#include "cmd/husk-systemd/systemd.h"
#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/message.h"

namespace husk::systemd {
namespace {

Json serve(const SystemdRequest& request) {
  Manager manager(request.timeout);
  std::string group;
  switch (request.verb) {
    case SystemdRequest::Verb::kStart:
      group = manager.start(request);
      break;
    case SystemdRequest::Verb::kSet:
      manager.set(request);
      break;
    case SystemdRequest::Verb::kStop:
      manager.stop(request);
      break;
  }
  return {{"control_group", group}};
}

int run() {
  Message message;
  if (!receive_message(STDIN_FILENO, message, deadline::kControlRequest)) return 1;
  SystemdRequest request;
  Json answer;
  try {
    request = systemd_request_from_json(message.body);
    answer = serve(request);
  } catch (const Error& e) {
    request.hold = false;
    answer = error_to_json(e);
  }
  send_message(STDIN_FILENO, answer);
  // husk ends us when the container is in the unit; its own end does, too.
  if (request.hold)
    wait_readable(STDIN_FILENO, static_cast<int>(std::chrono::milliseconds(deadline::kCreateReply).count()));
  return 0;
}

}  // namespace
}  // namespace husk::systemd

int main() {
  signal(SIGPIPE, SIG_IGN);
  try {
    return husk::systemd::run();
  } catch (const std::exception& e) {
    fprintf(stderr, "husk-systemd: %s\n", e.what());
    return 1;
  }
}
