// Hooks: programs of the engine's, run on the host with the container's state on stdin (runtime-spec,
// config.md).
#pragma once

#include <string>
#include <vector>

#include "spec/config.h"

namespace husk {

// Runs them one after the other, in folder `cwd`. The first that fails ends it: throws "running prestart hook
// #0
// (/path): exit status 1: <last line of its stderr>", kTimeout when it outlived its own timeout (it is
// killed).
void run_hooks(const char* name, const std::vector<spec::Hook>& hooks, const std::string& state_json,
               const std::string& cwd);
// The same for poststart and poststop: each failure is a warning in the log, all of them run.
void run_hooks_warn_only(const char* name, const std::vector<spec::Hook>& hooks,
                         const std::string& state_json, const std::string& cwd);

}  // namespace husk
