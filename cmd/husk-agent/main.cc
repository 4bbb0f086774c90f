// husk-agent: pid 1 of the guest.
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <exception>

#include "agent/guest/boot.h"
#include "agent/guest/guest.h"
#include "agent/guest/log.h"
#include "agent/guest/parking.h"
#include "agent/guest/pci.h"
#include "agent/server/frame_server.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/init/init_process.h"

namespace {

constexpr size_t kThreadStack = 512u << 10;              // one or two a session; no handler recurses
constexpr int kPriority = -20;                           // nice, of all our threads
constexpr const char* kInitInGuest = "/sbin/husk-init";  // a link to ourselves

void prepare_process() {
  signal(SIGPIPE, SIG_IGN);
  // A container's share of the CPU may be a hundred times the default one: an exec, a kill have to come
  // through.
  setpriority(PRIO_PROCESS, 0, kPriority);
  // Threads that mostly share one CPU need no heap each.
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

// Everything that can be made before there is a host to serve.
struct Agent {
  // boot() has made the root read-only.
  husk::InitProgram init_program{kInitInGuest, {.sealed = false, .own_priority = true}};
  husk::guest::Reaper reaper;
  husk::guest::Guest guest{reaper, init_program};
  husk::FrameServer frames{guest};

  // When the host goes, nobody will ask for anything again.
  void serve(husk::UniqueFd port) {
    frames.serve(std::move(port), husk::guest::wait_for_host, [] { husk::guest::power_off(nullptr); });
  }

  void prepare_init(size_t count = 1) {
    husk::guest::Reaper::Hold hold(reaper);
    init_program.prepare(count);
  }

  // The next container or exec finds a husk-init that waits. Made after a start that has taken the last one,
  // when nobody has anything better to do.
  [[noreturn]] void keep_init_prepared() {
    setpriority(PRIO_PROCESS, 0, 19);  // this thread's
    init_program.wait_for_time();
    husk::guest::quieten();
    for (;; init_program.wait_for_time()) {
      try {
        prepare_init();
      } catch (const std::exception& e) {  // no more processes, no memory: an exec will make its own
        husk::guest::log_warning(std::string("a spare husk-init: ") + e.what());
      }
    }
  }
};

bool is_husk_init(const char* name) {
  return husk::base_name(name) == husk::base_name(kInitInGuest);
}

}  // namespace

int main(int argc, char** argv) {
  // One program in the guest, two names: what it has in memory, and what QEMU has translated of it, serves
  // both.
  if (is_husk_init(argv[0])) return husk::init_main(argc, argv);
  std::set_terminate(die);
  prepare_process();
  try {
    if (getpid() != 1) {
      fprintf(stderr, "husk-agent: runs as pid 1 of a guest\n");
      return 1;
    }
    husk::guest::boot();
    husk::UniqueFd port = husk::guest::open_port("husk.agent");
    static Agent agent;
    agent.serve(std::move(port));
    const bool is_template = husk::guest::is_template();
    agent.prepare_init();
    if (is_template) {
      agent.guest.prepare();
      // For the container's own, where it is not the one that was born, and for an exec: a short container
      // ends before anybody makes the next.
      agent.prepare_init(2);
      husk::guest::quieten();
      husk::guest::power_slots();
      husk::guest::park("virtiofs", true);
      husk::guest::park("virtio_net", false);
      husk::guest::announce_template();
    }
    agent.keep_init_prepared();
  } catch (const std::exception& e) {
    husk::guest::power_off(husk::printable(e.what()).c_str());
  }
}
