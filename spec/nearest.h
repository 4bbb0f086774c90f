// What would have been right instead of a wrong name, for error messages. Private to spec/.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace husk::spec {

// `; did you mean "memory"?`, or nothing when no name is near.
std::string did_you_mean(std::string_view wrong, const std::vector<std::string_view>& names);
// "auto, kvm or tcg"
std::string either(const std::vector<std::string_view>& names);

}  // namespace husk::spec
