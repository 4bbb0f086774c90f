// One line on the guest's console each. A header of its own because spdlog's is heavy.
#pragma once

#include <string>

namespace husk::guest {

// As HelloRequest.log_level says; an unknown name is left alone.
void set_log_level(const std::string& level);

void log_debug(const std::string& text);
void log_info(const std::string& text);
void log_warning(const std::string& text);
void log_error(const std::string& text);

}  // namespace husk::guest
