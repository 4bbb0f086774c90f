// resolv.conf(5), as far as it says who is asked.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace husk::vm {

// In the file's order, as they are written there.
std::vector<std::string> nameservers(std::string_view resolv_conf);

}  // namespace husk::vm
