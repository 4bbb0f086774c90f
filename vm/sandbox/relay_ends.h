// Where relays that have finished are destroyed. One of their threads may still be in a write to a guest that
// does not read (deadline::kAgentCall), and whoever hears that they have finished has others to serve.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "vm/sandbox/relay.h"

namespace husk::vm {

class RelayEnds {
 public:
  RelayEnds();
  ~RelayEnds();  // waits for those that are left

  // Does not wait.
  void take(std::unique_ptr<Relay> relay);

 private:
  void run();

  std::mutex mutex_;  // of what follows
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Relay>> relays_;
  bool over_ = false;
  std::thread thread_;
};

}  // namespace husk::vm
