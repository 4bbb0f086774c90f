#include "libcontainer/base/log.h"

#include <fcntl.h>
#include <spdlog/sinks/base_sink.h>
#include <unistd.h>

#include <ctime>
#include <mutex>
#include <nlohmann/json.hpp>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"

namespace husk {
namespace {

// One write(2) per line into an O_APPEND file: several processes share a log without mixing lines.
class LineSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  LineSink(UniqueFd fd, bool json) : fd_(std::move(fd)), json_(json) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& msg) override {
    std::string text(msg.payload.data(), msg.payload.size());
    std::string level(spdlog::level::to_string_view(msg.level).data());
    std::string line;
    if (json_) {
      line = nlohmann::json{{"level", level}, {"msg", text}, {"time", rfc3339(msg.time)}}.dump(
          -1, ' ', false, nlohmann::json::error_handler_t::replace);
    } else {
      line = "time=\"" + rfc3339(msg.time) + "\" level=" + level +
             " msg=" + nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
    line += '\n';
    (void)!write(fd_ ? fd_.get() : STDERR_FILENO, line.data(),
                 line.size());  // a full disk must not stop a container
  }
  void flush_() override {}

 private:
  static std::string rfc3339(spdlog::log_clock::time_point when) {
    time_t t = spdlog::log_clock::to_time_t(when);
    tm utc{};
    gmtime_r(&t, &utc);
    char buf[32], out[48];
    strftime(buf, sizeof buf, "%Y-%m-%dT%H:%M:%S", &utc);
    auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(when.time_since_epoch()).count() % 1000;
    snprintf(out, sizeof out, "%s.%03dZ", buf, static_cast<int>(ms));
    return out;
  }

  UniqueFd fd_;
  bool json_;
};

}  // namespace

void init_log(const LogOptions& o) {
  if (o.format != "text" && o.format != "json")
    throw Error(ErrorKind::kInvalid, "unknown log-format \"" + printable(o.format) + "\" (text or json)");
  auto level = o.debug ? spdlog::level::debug : spdlog::level::warn;
  if (!o.level.empty() && !o.debug) {
    level = spdlog::level::from_str(o.level);
    if (level == spdlog::level::off)
      throw Error(ErrorKind::kInvalid, "unknown log level \"" + printable(o.level) + "\"");
  }
  UniqueFd fd;
  if (!o.path.empty()) fd = open_file(o.path, O_WRONLY | O_CREAT | O_APPEND, 0644);
  auto logger =
      std::make_shared<spdlog::logger>("husk", std::make_shared<LineSink>(std::move(fd), o.format == "json"));
  logger->set_level(level);
  spdlog::set_default_logger(logger);
}

}  // namespace husk
