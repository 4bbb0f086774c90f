// Signal names and numbers, as `husk kill` and the image's stop signal give them.
#pragma once

#include <string>
#include <string_view>

namespace husk::spec {

// "9", "KILL", "SIGKILL", "sigkill", "RTMIN+3", "RTMAX-1"; "0" is fine (it only asks whether the process is
// there). Throws Error(kInvalid): unknown signal "X".
int parse_signal(std::string_view text);
// "SIGKILL"; "SIGRTMIN+3"; the bare number of what has no name.
std::string signal_name(int number);

}  // namespace husk::spec
