#include <algorithm>
#include <charconv>
#include <chrono>
#include <optional>
#include <string_view>
#include <utility>

#include "cmd/husk/commands.h"
#include "cmd/husk/json_text.h"
#include "libcontainer/base/process.h"

namespace husk::cmd {
namespace {

// Milliseconds of a unit of Go's; 0: it is none.
double unit_of(std::string_view name) {
  constexpr std::pair<std::string_view, double> kUnits[] = {{"ms", 1}, {"s", 1e3}, {"m", 6e4}, {"h", 36e5}};
  for (const auto& [unit, milliseconds] : kUnits)
    if (unit == name) return milliseconds;
  return 0;
}

// A duration in Go's notation: "500ms", "1.5s", "1m30s".
std::chrono::milliseconds parse_interval(const std::string& text) {
  double sum = 0;
  std::string_view rest = text;
  while (!rest.empty()) {
    double number = 0;
    const auto [end, error] =
        std::from_chars(rest.data(), rest.data() + rest.size(), number, std::chars_format::fixed);
    rest.remove_prefix(static_cast<size_t>(end - rest.data()));
    const size_t length = std::min(rest.find_first_of("0123456789."), rest.size());
    const double unit = unit_of(rest.substr(0, length));
    rest.remove_prefix(length);
    sum = error == std::errc() && unit > 0 && number >= 0 ? sum + number * unit : -1;
    if (!(sum >= 0)) break;
  }
  if (!(sum >= 1 && sum <= 1e12))
    throw Error(ErrorKind::kInvalid,
                "--interval: expected a duration like 5s, got \"" + printable(text, 80) + "\"");
  return std::chrono::milliseconds(static_cast<int64_t>(sum));
}

using Event = nlohmann::ordered_json;  // in runc's order

constexpr std::chrono::milliseconds kOomInterval =
    std::chrono::seconds(1);  // or shorter, as --interval has it

// What the OOM killer took so far. It is taken out, so that a line with "oom" in it is an event.
uint64_t take_oom_kills(nlohmann::json& stats) {
  nlohmann::json& raw = stats["memory"]["raw"];
  const uint64_t kills = raw.is_object() ? raw.value("oom_kill", uint64_t{0}) : 0;
  if (raw.is_object()) raw.erase("oom_kill");
  return kills;
}

class EventStream {
 public:
  explicit EventStream(Container& container) : container_(container) {}

  void look(bool print_stats) {
    nlohmann::json stats = container_.stats();
    print_ooms(take_oom_kills(stats));
    if (print_stats) put({{"type", "stats"}, {"id", container_.record().id}, {"data", stats}});
  }

 private:
  void print_ooms(uint64_t kills) {
    if (known_kills_ && kills > *known_kills_) put({{"type", "oom"}, {"id", container_.record().id}});
    known_kills_ = kills;
  }
  static void put(const Event& event) { print(json_text(event, -1) + "\n"); }

  Container& container_;
  std::optional<uint64_t> known_kills_;
};

}  // namespace

int events(Context& context, const Args& args) {
  std::string interval_text = "5s";
  bool stats_once = false;
  Flags flags("husk events [options] ID",
              "Print a container's statistics, and that processes were killed for want of memory, as JSON "
              "lines until it stops.");
  flags.text("--interval", interval_text, "time between two lines (default: 5s)")
      .flag("--stats", stats_once, "print one line and end");
  const Args words = flags.parse(args);
  check_words("events", words, 1, 1);
  const auto interval = parse_interval(interval_text);
  Container container = context.load(words[0]);
  EventStream stream(container);
  stream.look(true);
  if (stats_once) return 0;
  const UniqueFd init = open_pidfd(container.record().init.pid);
  auto since_stats = std::chrono::milliseconds(0);
  const auto step = std::min(interval, kOomInterval);
  while (!wait_pidfd(init.get(), step) && container.status() != Status::kStopped) {
    const bool due = (since_stats += step) >= interval;
    if (due) since_stats = {};
    stream.look(due);
  }
  return 0;
}

}  // namespace husk::cmd
