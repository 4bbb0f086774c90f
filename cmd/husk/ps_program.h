// ps(1) of this host, for containers whose processes it sees.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "cmd/husk/flags.h"

namespace husk::cmd {

// Of what ps prints the title and the lines of these processes. Throws when the title has no column PID.
std::string lines_of_processes(const std::string& ps_output, const std::vector<pid_t>& pids);
// The same of `ps OPTIONS`, run here; none where there is no such program. Throws when it fails.
std::optional<std::string> run_ps(const Args& options, const std::vector<pid_t>& pids);

}  // namespace husk::cmd
