#include <algorithm>
#include <cstdio>
#include <ctime>

#include "cmd/husk/commands.h"
#include "cmd/husk/json_text.h"
#include "cmd/husk/ps_program.h"
#include "cmd/husk/table.h"

namespace husk::cmd {
namespace {

// As ps(1): the time of day, or the day.
std::string start_text(int64_t start, time_t now) {
  const time_t when = static_cast<time_t>(start);
  tm local{};
  localtime_r(&when, &local);
  char buf[32];
  strftime(buf, sizeof buf, now - when < 24 * 3600 ? "%H:%M" : "%b%d", &local);
  return buf;
}

std::string cpu_text(int64_t milliseconds) {
  const long seconds = static_cast<long>(milliseconds / 1000);
  char buf[48];
  snprintf(buf, sizeof buf, "%02ld:%02ld:%02ld", seconds / 3600, seconds / 60 % 60, seconds % 60);
  return buf;
}

Row row_of(const ProcessRow& p, time_t now) {
  const int64_t lived = std::max<int64_t>(1, now - p.start_seconds);
  return {
      std::to_string(p.uid),
      std::to_string(p.pid),
      std::to_string(p.ppid),
      std::to_string(std::min<int64_t>(99, p.cpu_milliseconds / 10 / lived)),
      start_text(p.start_seconds, now),
      p.tty.empty() ? "?" : printable(p.tty, 32),
      cpu_text(p.cpu_milliseconds),
      printable(p.command, 4096)};  // the guest's text: it must not reach the terminal as control characters
}

}  // namespace

int ps(Context& context, const Args& args) {
  std::string format = "table";
  Flags flags("husk ps [options] ID [ps options]",
              "List the processes in a container: as its own kernel numbers them (table), or this host's "
              "pids (json). Without a VM the host's ps(1) is run, by default as ps -ef.");
  flags.text("-f,--format", format, "table or json").stop_at_first_word();
  Args words = flags.parse(args);
  // runc takes its own flag behind the id as well; the rest would be ps(1)'s options.
  if (words.size() > 1 && (words[1] == "-f" || words[1].starts_with("--format"))) {
    const std::string id = words[0];
    words = flags.parse(Args(words.begin() + 1, words.end()));
    words.insert(words.begin(), id);
  }
  check_words("ps", words, 1, SIZE_MAX);
  const bool json = wants_json(format);
  Container container = context.load(words[0]);
  if (json) {
    print(json_text(nlohmann::json(container.host_pids()), -1) + "\n");
    return 0;
  }
  Args options(words.begin() + 1, words.end());
  if (options.empty()) options = {"-ef"};
  if (context.backend_of(words[0]).on_this_kernel()) {
    if (const auto output = run_ps(options, container.host_pids())) {
      print(*output);
      return 0;
    }
  }
  if (options != Args{"-ef"})
    throw Error(ErrorKind::kUnsupported,
                "ps: the guest's processes are listed as by ps -ef, with no other options");
  const time_t now = time(nullptr);
  std::vector<Row> rows = {{"UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"}};
  for (const ProcessRow& process : container.processes()) rows.push_back(row_of(process, now));
  print(table_text(rows, 4, 2));
  return 0;
}

}  // namespace husk::cmd
