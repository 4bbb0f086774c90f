// What the host changes in volumes is told to the guest, where programs watch them by inotify(7): its file
// system says nothing of it.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "agent/client/agent_client.h"
#include "libcontainer/base/fd.h"
#include "vm/share/tree_watch.h"

namespace husk::vm {

class VolumeChanges {
 public:
  explicit VolumeChanges(AgentClient& agent);  // must outlive this
  ~VolumeChanges();                            // end()

  // What a container brings, before begin(): volume is the guest's path of it.
  void add(const std::string& id, const std::string& volume, UniqueFd tree);
  // The container runs, and its volumes are watched, if it has any. servers: asks for the processes through
  // which the guest changes files itself; that it throws costs a warning.
  void begin(const std::string& id, const std::function<std::vector<pid_t>()>& servers) noexcept;
  // Those are let go that no other container has.
  void remove(const std::string& id) noexcept;
  // Tells nothing more, and may be called while the guest is asked something.
  void stop() noexcept;
  // With the VM gone: the thread is over. Idempotent.
  void end() noexcept;

 private:
  struct Volume {
    UniqueFd tree;  // until it is watched
    std::set<std::string> containers;
  };

  bool take_trees(const std::string& id);
  void follow(const std::vector<pid_t>& servers);
  bool take_news(TreeWatch& watch, TreeChanges& changes);
  void wait(int watch, std::chrono::steady_clock::time_point until) const;
  bool tell(TreeChanges& changes);
  void wake() noexcept;

  AgentClient& agent_;
  UniqueFd wake_;     // eventfd: what follows has changed
  std::mutex mutex_;  // of what follows
  std::map<std::string, Volume> volumes_;
  std::map<std::string, UniqueFd> new_;  // for the thread
  std::set<std::string> gone_;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace husk::vm
