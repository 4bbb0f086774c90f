// pid 1 reaps the orphans of the whole guest without stealing the status of a process that somebody waits
// for.
//
// Whoever spawns takes a Hold first. While one exists, no zombie is reaped but those that are watched
// already: the spawner's own waitid(2) on its helpers, and the window between the spawn and watch(), are
// safe. When the last Hold goes, the reaper looks again.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <mutex>

#include "libcontainer/base/fd.h"
#include "libcontainer/base/process.h"

namespace husk::guest {

class Reaper {
 public:
  // Blocks SIGCHLD in the calling thread, and so in all threads that it starts later, and starts the one that
  // reaps. Must come before any other thread. The one instance lives as long as the agent.
  Reaper();

  class Hold {
   public:
    explicit Hold(Reaper& reaper);
    ~Hold();
    Hold(const Hold&) = delete;

   private:
    Reaper& reaper_;
  };

  // on_exit runs once, in the reaper's thread, after the child was reaped: it must be quick and not throw.
  // Call with a Hold in hand, for a child that nobody has reaped.
  void watch(pid_t pid, std::function<void(ExitStatus)> on_exit);

 private:
  void run();
  void reap_watched();
  void reap_orphans();
  bool reap(pid_t pid, const std::function<void(ExitStatus)>& on_exit);
  void wake();

  std::mutex mutex_;
  int holds_ = 0;
  std::map<pid_t, std::function<void(ExitStatus)>> watched_;
  UniqueFd signals_, wake_;
};

}  // namespace husk::guest
