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
#include <utility>
#include <vector>

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

  // on_exit runs once, in the reaper's thread and without its lock, after the child was reaped: it must be
  // quick and not throw. Call with a Hold in hand, for a child that nobody has reaped.
  void watch(pid_t pid, std::function<void(ExitStatus)> on_exit);

 private:
  using Ended = std::pair<std::function<void(ExitStatus)>, ExitStatus>;  // who is to be told of what

  void run();
  void reap_watched(std::vector<Ended>& ended);
  void reap_orphans(std::vector<Ended>& ended);
  static bool reap(pid_t pid, std::function<void(ExitStatus)>& on_exit, std::vector<Ended>& ended);
  void wake();

  std::mutex mutex_;
  int holds_ = 0;
  std::map<pid_t, std::function<void(ExitStatus)>> watched_;
  UniqueFd signals_, wake_;
};

}  // namespace husk::guest
