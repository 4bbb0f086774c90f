// ps(1) for processes that only a guest's kernel sees.
#pragma once

#include <ctime>
#include <string>
#include <vector>

#include "cmd/husk/flags.h"
#include "libcontainer/container/backend.h"

namespace husk::cmd {

// What `ps OPTIONS` would print of them: -e, -A, -a, -x, -d, -w and BSD's a, x, w choose nothing (all of the
// container's processes are shown), -f and -o choose columns. Users have the host's names, as in runc, whose
// ps reads the host's passwd. Throws kUnsupported for any other option, naming those that are known.
std::string guest_ps(const Args& options, const std::vector<ProcessRow>& processes, time_t now);

}  // namespace husk::cmd
