// Resource limits (getrlimit(2)).
#pragma once

#include <string>
#include <vector>

#include "spec/config.h"

namespace husk {

// "RLIMIT_NOFILE" → 7; throws kInvalid for another name.
int parse_rlimit(const std::string& name);
void apply_rlimits(const std::vector<spec::Rlimit>& limits);

}  // namespace husk
