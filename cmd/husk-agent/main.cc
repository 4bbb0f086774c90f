// husk-agent: pid 1 of the guest. Started as `husk-agent --fd N` anywhere else it serves that socket instead
// of a virtio port and leaves the machine as it is: for tests.
#include <absl/synchronization/mutex.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <exception>
#include <string>

#include "agent/guest/boot.h"
#include "agent/guest/guest.h"
#include "agent/server/server.h"
#include "agent/wire/wire.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"

namespace {

constexpr size_t kThreadStack = 512u << 10;  // two threads an attached process; no handler recurses
constexpr const char* kInitInGuest = "/sbin/husk-init";

void prepare_process() {
  signal(SIGPIPE, SIG_IGN);
  // gRPC's own words go to stderr, which is the console; only what is wrong is of interest there.
  setenv("GRPC_VERBOSITY", "ERROR", 1);
  // Debian's absl looks for cycles at every lock. And threads that mostly share one CPU need no heap each.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  mallopt(M_ARENA_MAX, 1);
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, kThreadStack);
  pthread_setattr_default_np(&attributes);
  pthread_attr_destroy(&attributes);
}

[[noreturn]] void die() {
  std::string reason = "terminated";
  if (std::exception_ptr current = std::current_exception()) {
    try {
      std::rethrow_exception(current);
    } catch (const std::exception& e) {
      reason = husk::printable(e.what());
    } catch (...) {
    }
  }
  husk::guest::power_off(reason.c_str());
}

[[noreturn]] void sleep_for_ever() {
  for (;;) pause();
}

// Everything that can be made before there is a host to serve.
struct Agent {
  explicit Agent(const std::string& init_program) : guest(reaper, init_program), server(guest) {}
  husk::guest::Reaper reaper;
  husk::guest::Guest guest;
  husk::AgentServer server;

  [[noreturn]] void serve(husk::UniqueFd device) {
    server.serve(husk::wire::pump_device(std::move(device), [] {
      // The host has gone, and nobody will ask for anything again.
      husk::guest::power_off(nullptr);
    }));
    sleep_for_ever();
  }
};

}  // namespace

int main(int argc, char** argv) {
  std::set_terminate(die);
  prepare_process();
  try {
    if (argc == 3 && strcmp(argv[1], "--fd") == 0) {
      prctl(PR_SET_CHILD_SUBREAPER, 1);
      static Agent agent(husk::path_join(husk::program_dir(), "husk-init"));
      agent.serve(husk::UniqueFd(atoi(argv[2])));
    }
    if (getpid() != 1) {
      fprintf(stderr, "husk-agent: runs as pid 1 of a guest (or with --fd N)\n");
      return 1;
    }
    husk::guest::boot();
    husk::UniqueFd port = husk::guest::open_agent_port();
    static Agent agent(kInitInGuest);
    husk::guest::announce_template();
    husk::guest::wait_for_host(port.get());
    agent.serve(std::move(port));
  } catch (const std::exception& e) {
    husk::guest::power_off(husk::printable(e.what()).c_str());
  }
}
