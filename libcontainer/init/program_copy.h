// husk-init as a container can't change it. Internal to this folder.
#pragma once

#include <string>

#include "libcontainer/base/fd.h"

namespace husk {

// A sealed copy of the program in memory, made once per process and file. What runs in a container (and can
// be reached there as /proc/PID/exe for a moment) is this copy, not the file that the next container starts
// from (CVE-2019-5736). The fd's number is `least` or more: out of the way of what spawn() places.
UniqueFd open_program_copy(const std::string& program, int least);

}  // namespace husk
