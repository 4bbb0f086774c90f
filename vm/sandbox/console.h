// The guest's serial console: its last lines are kept for the error that tells why a guest died. A guest may
// print what it likes: everything is bounded and quoted.
#pragma once

#include <deque>
#include <mutex>
#include <string>

#include "libcontainer/base/fd.h"

namespace husk::vm {

class Console {
 public:
  explicit Console(UniqueFd fd) : fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }
  // Reads what is there; false at the end. Lines go to the debug log.
  bool pump();
  // Why the guest died, by its own words: the kernel's panic or the agent's complaint if there was one, else
  // the last line. Quoted; empty if it said nothing.
  std::string last_words() const;
  // The last lines, quoted, joined with " | ".
  std::string tail() const;

 private:
  void finish_line();

  UniqueFd fd_;
  mutable std::mutex mutex_;
  std::string line_;
  std::string cause_;
  std::deque<std::string> lines_;
};

}  // namespace husk::vm
