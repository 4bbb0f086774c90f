#include "spec/signal.h"

#include <signal.h>
#include <algorithm>
#include <charconv>
#include <optional>

#include "libcontainer/base/error.h"

namespace husk::spec {
namespace {

struct Entry {
  std::string_view name;
  int number;
};

// signal(7). The first name of a number is the one that signal_name() gives. Not sigabbrev_np(3): the names
// that are synonyms are not in it.
constexpr Entry kSignals[] = {
    {"HUP", SIGHUP},   {"INT", SIGINT},       {"QUIT", SIGQUIT}, {"ILL", SIGILL},       {"TRAP", SIGTRAP},
    {"ABRT", SIGABRT}, {"IOT", SIGABRT},      {"BUS", SIGBUS},   {"FPE", SIGFPE},       {"KILL", SIGKILL},
    {"USR1", SIGUSR1}, {"SEGV", SIGSEGV},     {"USR2", SIGUSR2}, {"PIPE", SIGPIPE},     {"ALRM", SIGALRM},
    {"TERM", SIGTERM}, {"STKFLT", SIGSTKFLT}, {"CHLD", SIGCHLD}, {"CLD", SIGCHLD},      {"CONT", SIGCONT},
    {"STOP", SIGSTOP}, {"TSTP", SIGTSTP},     {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},     {"URG", SIGURG},
    {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},     {"PROF", SIGPROF}, {"VTALRM", SIGVTALRM}, {"WINCH", SIGWINCH},
    {"IO", SIGIO},     {"POLL", SIGIO},       {"PWR", SIGPWR},   {"SYS", SIGSYS}};

// The C library keeps 32 and 33 to itself; a container's library may use another count, but 34 is what
// engines mean.
constexpr int kRtMin = 34, kRtMax = 64;

std::optional<int> parse_number(std::string_view text) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return {};
  return value;
}

// name is upper case, without "SIG".
std::optional<int> parse_realtime(std::string_view name) {
  const bool from_min = name.starts_with("RTMIN");
  if (!from_min && !name.starts_with("RTMAX")) return {};
  name.remove_prefix(5);
  if (name.empty()) return from_min ? kRtMin : kRtMax;
  const char sign = from_min ? '+' : '-';
  const auto offset = name[0] == sign ? parse_number(name.substr(1)) : std::nullopt;
  if (!offset || *offset < 0 || *offset > kRtMax - kRtMin) return {};
  return from_min ? kRtMin + *offset : kRtMax - *offset;
}

}  // namespace

int parse_signal(std::string_view text) {
  if (const auto number = parse_number(text); number && *number >= 0 && *number <= kRtMax) return *number;
  std::string upper(text);
  std::transform(upper.begin(), upper.end(), upper.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  std::string_view name = upper;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  for (const Entry& entry : kSignals)
    if (entry.name == name) return entry.number;
  if (const auto number = parse_realtime(name)) return *number;
  throw Error(ErrorKind::kInvalid, "unknown signal \"" + printable(text, 64) + "\"");
}

std::string signal_name(int number) {
  for (const Entry& entry : kSignals)
    if (entry.number == number) return "SIG" + std::string(entry.name);
  if (number == kRtMin) return "SIGRTMIN";
  if (number == kRtMax) return "SIGRTMAX";
  if (number > kRtMin && number < kRtMax) return "SIGRTMIN+" + std::to_string(number - kRtMin);
  return std::to_string(number);
}

}  // namespace husk::spec
