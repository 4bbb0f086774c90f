// The five capability sets of a process (capabilities(7)).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "spec/config.h"

namespace husk {

// "CAP_CHOWN" → 0; -1 for a name that this program does not know.
int capability_number(std::string_view name);
const char* capability_name(int number);  // nullptr out of range

struct CapabilitySets {
  uint64_t bounding = 0, effective = 0, inheritable = 0, permitted = 0, ambient = 0;
};

// Names to bits. What this program or this kernel does not know, or we ourselves do not have, is left out and
// named in warnings: a set can only shrink by that.
CapabilitySets parse_capabilities(const spec::Capabilities& names, std::vector<std::string>& warnings);

// Before the user is changed: the bounding set, and PR_SET_KEEPCAPS so that setuid(2) leaves the permitted
// set alone.
void drop_bounding_set(const CapabilitySets& sets);
// After it: the other four.
void apply_capabilities(const CapabilitySets& sets);

}  // namespace husk
