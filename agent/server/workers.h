// Threads for what may take its time: one that is idle takes a job, else a new one does.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>

namespace husk {

// Lives as long as the process: its threads do.
class Workers {
 public:
  // Threads that wait already when the first job comes: to make one is a thousand blocks of code to an
  // emulated guest.
  void prepare(unsigned count);
  // Throws when no thread can be made. The job must not throw.
  void run(std::function<void()> job);

 private:
  void begin_thread();
  void work();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  size_t idle_ = 0;
};

// A thread's first allocation sets its heap up: to be done while nobody waits.
void warm_heap();

}  // namespace husk
