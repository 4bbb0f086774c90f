// One output of a process: bytes on their way to their reader on the host, in a thread of its own, so that a
// reader who does not read holds up nobody else. Memory is bounded by whoever writes (AttachStream's
// windows).
#pragma once

#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

#include "libcontainer/base/fd.h"

namespace husk::vm {

class OutputWriter {
 public:
  // Both are called in the writer's thread.
  struct Handlers {
    std::function<void(size_t bytes)> taken;  // by the reader, or thrown away because there is none
    std::function<void()> broken;             // the reader is gone; at most once
  };
  OutputWriter(UniqueFd fd, Handlers handlers);
  ~OutputWriter();  // throws away what is not written yet

  // None of these waits.
  void write(std::string data);
  // Closes our end, behind all that was written.
  void close();
  // Calls `done` in the writer's thread, behind all that was written.
  void then(std::function<void()> done);
  // From now on then() does not wait for a reader that takes nothing for deadline::kLateOutput.
  void hurry();

 private:
  struct Item {
    enum class Kind { kData, kClose, kCall } kind;
    std::string data;
    std::function<void()> call;
  };

  void add(Item item);
  void wake();
  void run();
  void do_items();
  Item* first();
  bool do_item(Item& item);
  void grow();
  bool write_data(const std::string& data);
  bool wait();
  void give_up_waiting();
  void break_off();
  void give_up(const char* why) noexcept;
  void drop_first();

  const Handlers handlers_;
  UniqueFd wake_;

  // The thread's own.
  UniqueFd fd_;
  bool grown_ = false;  // the pipe
  const bool watched_;  // whether its reader is gone, even while there is nothing to write
  size_t written_ = 0;  // of the first item's data

  std::mutex mutex_;  // of what follows
  std::deque<Item> items_;
  bool hurried_ = false, ended_ = false;
  std::thread thread_;
};

}  // namespace husk::vm
