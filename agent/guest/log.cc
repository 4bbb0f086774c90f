#include "agent/guest/log.h"

#include <atomic>
#include <mutex>

#include "libcontainer/base/error.h"
#include "libcontainer/base/log.h"

namespace husk::guest {
namespace {

std::atomic<spdlog::level::level_enum> wanted{spdlog::level::warn};

// The logger is made for the first line: most guests never have one.
void log(spdlog::level::level_enum level, const std::string& text) {
  if (level < wanted) return;
  static std::once_flag made;
  std::call_once(made, [] {
    try {
      init_log({.path = "/dev/console", .format = "text", .debug = true, .level = {}});
    } catch (const Error&) {
      init_log({.path = {}, .format = "text", .debug = true, .level = {}});  // stderr
    }
  });
  spdlog::log(level, "{}", printable(text));
}

}  // namespace

void set_log_level(const std::string& level) {
  const spdlog::level::level_enum parsed = spdlog::level::from_str(level);
  if (parsed != spdlog::level::off) wanted = parsed;  // off is also its word for "unknown"
}

void log_debug(const std::string& text) {
  log(spdlog::level::debug, text);
}
void log_info(const std::string& text) {
  log(spdlog::level::info, text);
}
void log_warning(const std::string& text) {
  log(spdlog::level::warn, text);
}
void log_error(const std::string& text) {
  log(spdlog::level::err, text);
}

}  // namespace husk::guest
