#include "agent/guest/log.h"

#include "libcontainer/base/error.h"
#include "libcontainer/base/log.h"

namespace husk::guest {

void open_log() {
  init_log({.path = "/dev/console", .format = "text", .debug = false, .level = "warning"});
}

void set_log_level(const std::string& level) {
  spdlog::level::level_enum parsed = spdlog::level::from_str(level);
  if (parsed != spdlog::level::off) spdlog::set_level(parsed);  // off is also its word for "unknown"
}

void log_debug(const std::string& text) {
  spdlog::debug("{}", printable(text));
}
void log_info(const std::string& text) {
  spdlog::info("{}", printable(text));
}
void log_warning(const std::string& text) {
  spdlog::warn("{}", printable(text));
}

}  // namespace husk::guest
