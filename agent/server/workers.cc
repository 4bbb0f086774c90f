#include "agent/server/workers.h"

#include <system_error>
#include <thread>

#include "libcontainer/base/error.h"

namespace husk {
namespace {

constexpr size_t kMaxIdle = 2;  // one for a process, one for what is said about it meanwhile

}  // namespace

void Workers::begin_thread() {
  try {
    std::thread([this] { work(); }).detach();
  } catch (const std::system_error& e) {
    throw Error(ErrorKind::kInternal, "making a thread", e.code().value());
  }
}

void Workers::prepare(unsigned count) {
  for (unsigned i = 0; i < count; ++i) begin_thread();
}

void Workers::run(std::function<void()> job) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    if (idle_ >= jobs_.size()) {
      changed_.notify_one();
      return;
    }
  }
  try {
    begin_thread();
  } catch (const Error&) {
    std::lock_guard lock(mutex_);
    if (jobs_.empty()) return;  // somebody else has taken it
    jobs_.pop_back();
    throw;
  }
}

void Workers::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (jobs_.empty()) {
      if (idle_ == kMaxIdle) return;
      ++idle_;
      changed_.wait(lock, [this] { return !jobs_.empty(); });
      --idle_;
    }
    std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    job = {};
    lock.lock();
  }
}

}  // namespace husk
