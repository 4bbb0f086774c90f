// Work in a network namespace that is not the caller's.
#pragma once

#include <functional>

namespace husk {

// Runs f in a thread of its own that has entered the namespace (setns(2) acts on one thread) and ends with f;
// the caller's does not change. Throws what f throws.
void in_network_namespace(int netns_fd, const std::function<void()>& f);

}  // namespace husk
