#include "vm/sandbox/relay_ends.h"

#include "libcontainer/base/trace.h"

namespace husk::vm {

RelayEnds::RelayEnds() : thread_([this] { run(); }) {}

RelayEnds::~RelayEnds() {
  {
    std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

void RelayEnds::take(std::unique_ptr<Relay> relay) {
  std::lock_guard lock(mutex_);
  relays_.push_back(std::move(relay));
  changed_.notify_all();
}

void RelayEnds::run() {
  trace::name_thread("relay ends");
  for (;;) {
    std::vector<std::unique_ptr<Relay>> ending;  // outside of the lock
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return over_ || !relays_.empty(); });
    if (relays_.empty()) return;
    ending.swap(relays_);
  }
}

}  // namespace husk::vm
