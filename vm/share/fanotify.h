// fanotify(7) as far as husk needs it: events by directory and name, with the process that caused them.
#pragma once

#include <sys/fanotify.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "libcontainer/base/fd.h"

namespace husk::vm {

// What an inode is called in events: its file system's id and its file handle.
using FileKey = std::string;
// Of an open file, O_PATH too. Throws.
FileKey file_key(int fd);

struct FileEvent {
  uint64_t mask = 0;     // fanotify(7)'s, which are inotify's
  pid_t pid = 0;         // who did it; 0 where the group is not privileged
  FileKey folder, file;  // what it happened in and to; empty where it does not say
  std::string name;      // in that folder; "." itself
};

class Fanotify {
 public:
  // Throws; kUnsupported, too, where the kernel is too old (5.9).
  Fanotify();
  // It tells the pids: that takes CAP_SYS_ADMIN.
  bool privileged() const { return privileged_; }
  int fd() const { return fd_.get(); }
  // From here on of what is open at fd, and of what is in it. Throws.
  void mark(int fd, uint64_t mask);
  // What there is, up to a bound. lost: set if the kernel has thrown events away.
  std::vector<FileEvent> read(bool& lost);

 private:
  UniqueFd fd_;
  bool privileged_ = true;
};

}  // namespace husk::vm
