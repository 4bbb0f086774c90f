// Resource limits (getrlimit(2)).
#pragma once

#include <string>
#include <vector>

#include "spec/config.h"

namespace husk {

// "RLIMIT_NOFILE" → 7; throws kInvalid for another name.
int parse_rlimit(const std::string& name);
// Raises the hard limits that apply_rlimits() will want higher, as far as it may; for before a user
// namespace, whose root may only lower them.
void raise_hard_limits(const std::vector<spec::Rlimit>& limits);
void apply_rlimits(const std::vector<spec::Rlimit>& limits);

}  // namespace husk
