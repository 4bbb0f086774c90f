#include <charconv>
#include <chrono>

#include "cmd/husk/commands.h"
#include "cmd/husk/json_text.h"
#include "libcontainer/base/process.h"

namespace husk::cmd {
namespace {

// A duration of one unit in Go's notation: "500ms", "5s", "1m", "1h".
std::chrono::milliseconds parse_interval(const std::string& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string unit(end, text.data() + text.size());
  const int64_t factor = unit == "ms"  ? 1
                         : unit == "s" ? 1000
                         : unit == "m" ? 60'000
                         : unit == "h" ? 3'600'000
                                       : 0;
  if (error != std::errc() || factor == 0 || number <= 0 || number > 1'000'000)
    throw Error(ErrorKind::kInvalid,
                "--interval: expected a duration like 5s, got \"" + printable(text, 80) + "\"");
  return std::chrono::milliseconds(number * factor);
}

void print_stats(Container& container) {
  nlohmann::json event = {{"type", "stats"}, {"id", container.record().id}, {"data", container.stats()}};
  print(json_text(event, -1) + "\n");
}

}  // namespace

int events(Context& context, const Args& args) {
  std::string interval_text = "5s";
  bool stats_once = false;
  Flags flags("husk events [options] ID", "Print a container's statistics as JSON lines until it stops.");
  flags.text("--interval", interval_text, "time between two lines (default: 5s)")
      .flag("--stats", stats_once, "print one line and end");
  const Args words = flags.parse(args);
  check_words("events", words, 1, 1);
  const auto interval = parse_interval(interval_text);
  Container container = context.load(words[0]);
  print_stats(container);
  if (stats_once) return 0;
  const UniqueFd init = open_pidfd(container.record().init.pid);
  while (!wait_pidfd(init.get(), interval) && container.status() != Status::kStopped) print_stats(container);
  return 0;
}

}  // namespace husk::cmd
