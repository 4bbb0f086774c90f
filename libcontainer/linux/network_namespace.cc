#include "libcontainer/linux/network_namespace.h"

#include <sched.h>

#include <exception>
#include <thread>

#include "libcontainer/base/error.h"

namespace husk {

void in_network_namespace(int netns_fd, const std::function<void()>& f) {
  std::exception_ptr failure;
  std::thread([&] {
    try {
      check(setns(netns_fd, CLONE_NEWNET), "enter the network namespace");
      f();
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace husk
