// ROOT/ID/host.json: what the host backend knows of a container, and what there is to undo. It is written
// before anything is made, so that `delete` finds what a killed create left.
#pragma once

#include <string>

#include "libcontainer/base/fd.h"

namespace husk::host {

struct Record {
  std::string cgroup;            // path for Cgroup; empty: none was made
  std::string unit;              // of systemd's, that holds the cgroup; empty: none
  std::string bundle;            // absolute
  pid_t pid = 0;                 // the init; 0: there was none yet
  unsigned long long start = 0;  // process_start_time(pid)
  bool no_new_keyring = false;

  void save(const std::string& folder) const;
  // False when the folder has none.
  static bool load(const std::string& folder, Record& out);

  bool alive() const;
  // Empty when the init has ended: the pidfd is of this very process, however late it is asked for.
  UniqueFd open() const;
};

}  // namespace husk::host
