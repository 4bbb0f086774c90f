// Hooks that run inside the container's namespaces (startContainer, and createContainer where there is no
// VM).
#pragma once

#include <string>
#include <vector>

#include "spec/config.h"

namespace husk {

// Runs them in order, `state` (JSON) on stdin of each. A hook that cannot start, fails or is over its timeout
// is an error: "error running hook #0 /x: exit status 3, output: …". For single-threaded callers.
void run_hooks(const std::vector<spec::Hook>& hooks, const std::string& state);

}  // namespace husk
