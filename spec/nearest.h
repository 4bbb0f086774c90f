// The nearest good name to a wrong one, for error messages. Private to spec/.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace husk::spec {

// `; did you mean "memory"?`, or nothing when no name is near.
std::string did_you_mean(std::string_view wrong, const std::vector<const char*>& names);

}  // namespace husk::spec
