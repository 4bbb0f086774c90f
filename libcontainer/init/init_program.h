// The program husk-init, and a process of it that waits for work.
#pragma once

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "libcontainer/base/fd.h"
#include "libcontainer/base/process.h"

namespace husk {

class InitProgram {
 public:
  struct Options {
    // What runs in a container (and can be reached there as /proc/PID/exe for a moment) is a sealed copy in
    // memory, not the file that the next container starts from (CVE-2019-5736). Not needed where the file
    // cannot be written to.
    bool sealed = true;
    // It runs at the default priority (nice 0), not at its maker's.
    bool own_priority = false;
  };
  explicit InitProgram(std::string path) : InitProgram(std::move(path), Options()) {}
  InitProgram(std::string path, Options options) : path_(std::move(path)), options_(options) {}

  // A husk-init that reads its request from the other end of `control`.
  struct Waiting {
    Child child;
    UniqueFd control;
  };
  // A spare one, if there is one and no fds are to be preserved (they become 4, 5, … in it); else a new one,
  // which dies with the calling thread. Throws.
  Waiting take(const std::vector<int>& preserve_fds);

  // A spare one that has been born for a container in this cgroup (prepare_birth); once.
  std::optional<Waiting> take_newborn(const std::string& cgroup);
  void keep_newborn(const std::string& cgroup, Waiting newborn);

  // Makes spare ones until there are `count`, each of which spares a take() the exec. From a thread that
  // lives as long as the process: a spare's end follows that thread's.
  void prepare(size_t count = 1);
  // Somebody has time for prepare() now: where no spare is left, wait_for_time() returns.
  void make_spare();
  void wait_for_time();

 private:
  Waiting spawn_waiting(const std::vector<int>& preserve_fds, bool die_with_thread) const;
  std::optional<Waiting> take_spare();

  const std::string path_;
  const Options options_;
  std::mutex mutex_;
  std::condition_variable asked_;
  bool spare_wanted_ = false;
  std::vector<Waiting> spares_;
  std::map<std::string, Waiting> newborns_;  // by cgroup
};

}  // namespace husk
