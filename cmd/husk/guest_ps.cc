#include "cmd/husk/guest_ps.h"

#include <pwd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <sstream>

#include "cmd/husk/table.h"
#include "libcontainer/base/error.h"

namespace husk::cmd {
namespace {

// As ps(1): the time of day, or the day.
std::string start_text(int64_t start, time_t now) {
  constexpr time_t kDay = 24L * 3600;
  const auto when = static_cast<time_t>(start);
  tm local{};
  localtime_r(&when, &local);
  char buf[32];
  strftime(buf, sizeof buf, now - when < kDay ? "%H:%M" : "%b%d", &local);
  return buf;
}

std::string cpu_text(int64_t milliseconds) {
  const long seconds = static_cast<long>(milliseconds / 1000);
  char buf[48];
  snprintf(buf, sizeof buf, "%02ld:%02ld:%02ld", seconds / 3600, seconds / 60 % 60, seconds % 60);
  return buf;
}

std::string elapsed_text(int64_t seconds) {
  char buf[48];
  if (seconds < 3600)
    snprintf(buf, sizeof buf, "%02d:%02d", static_cast<int>(seconds / 60), static_cast<int>(seconds % 60));
  else
    snprintf(buf, sizeof buf, "%s%s", seconds >= 86400 ? (std::to_string(seconds / 86400) + "-").c_str() : "",
             cpu_text(seconds % 86400 * 1000).c_str());
  return buf;
}

std::string user_name(uint32_t uid) {
  static std::map<uint32_t, std::string> names;
  if (names.empty()) {
    names[0] = "root";
    std::unique_ptr<FILE, int (*)(FILE*)> file(fopen("/etc/passwd", "re"), fclose);
    while (const passwd* entry = file ? fgetpwent(file.get()) : nullptr)
      names.try_emplace(entry->pw_uid, entry->pw_name);
  }
  const auto found = names.find(uid);
  return found == names.end() ? std::to_string(uid) : found->second;
}

int64_t lived(const ProcessRow& p, time_t now) {
  return std::max<int64_t>(0, now - p.start_seconds);
}

std::string tty_text(const ProcessRow& p) {
  return p.tty.empty() ? "?" : printable(p.tty, 32);
}

// The guest's text: it must not reach the terminal as control characters.
std::string command_text(const ProcessRow& p) {
  return printable(p.command, 4096);
}

struct Column {
  const char* name;  // for -o
  const char* title;
  size_t width;  // of numbers, which end at the right; 0: text
  std::string (*text)(const ProcessRow& p, time_t now);
};

constexpr Column kColumns[] = {
    {"user", "USER", 0, [](const ProcessRow& p, time_t) { return user_name(p.uid); }},
    {"uid", "UID", 5, [](const ProcessRow& p, time_t) { return std::to_string(p.uid); }},
    {"pid", "PID", 7, [](const ProcessRow& p, time_t) { return std::to_string(p.pid); }},
    {"ppid", "PPID", 7, [](const ProcessRow& p, time_t) { return std::to_string(p.ppid); }},
    {"c", "C", 2,
     [](const ProcessRow& p, time_t now) {
       return std::to_string(
           std::min<int64_t>(99, p.cpu_milliseconds / 10 / std::max<int64_t>(1, lived(p, now))));
     }},
    {"vsz", "VSZ", 6, [](const ProcessRow& p, time_t) { return std::to_string(p.virtual_kib); }},
    {"rss", "RSS", 5, [](const ProcessRow& p, time_t) { return std::to_string(p.resident_kib); }},
    {"stime", "STIME", 0, [](const ProcessRow& p, time_t now) { return start_text(p.start_seconds, now); }},
    {"etime", "ELAPSED", 11, [](const ProcessRow& p, time_t now) { return elapsed_text(lived(p, now)); }},
    {"tty", "TTY", 0, [](const ProcessRow& p, time_t) { return tty_text(p); }},
    {"stat", "STAT", 0, [](const ProcessRow& p, time_t) { return printable(p.state, 4); }},
    {"time", "TIME", 0, [](const ProcessRow& p, time_t) { return cpu_text(p.cpu_milliseconds); }},
    {"cmd", "CMD", 0, [](const ProcessRow& p, time_t) { return command_text(p); }},
    {"args", "COMMAND", 0, [](const ProcessRow& p, time_t) { return command_text(p); }},
    {"command", "COMMAND", 0, [](const ProcessRow& p, time_t) { return command_text(p); }},
};

[[noreturn]] void unknown(const std::string& what) {
  std::string names;
  for (const Column& column : kColumns) names += std::string(names.empty() ? "" : ",") + column.name;
  throw Error(ErrorKind::kUnsupported,
              "ps: \"" + printable(what, 80) +
                  "\": of ps's options husk knows for a guest -e -A -a -d -x -w -f and -o " + names);
}

struct Choice {
  bool full = false, stat = false;
  std::vector<std::string> columns;
};

void add_columns(const std::string& list, Choice& choice) {
  std::istringstream words(list);
  for (std::string word; std::getline(words, word, ',');) choice.columns.push_back(word);
}

Choice parse(const Args& options) {
  Choice choice;
  for (size_t i = 0; i < options.size(); ++i) {
    const std::string& option = options[i];
    const bool dash = option.starts_with("-");
    for (size_t k = dash; k < option.size(); ++k) {
      if (dash && option[k] == 'o') {
        if (k + 1 == option.size() && ++i == options.size()) unknown(option);
        add_columns(k + 1 < option.size() ? option.substr(k + 1) : options[i], choice);
        break;
      }
      if (dash && option[k] == 'f')
        choice.full = true;
      else if (option[k] == 'x')
        choice.stat = true;
      else if (!strchr(dash ? "eAadw" : "aw", option[k]))
        unknown(option);
    }
  }
  return choice;
}

std::string aligned(std::string text, size_t width) {
  if (text.size() < width) text.insert(0, width - text.size(), ' ');
  return text;
}

}  // namespace

std::string guest_ps(const Args& options, const std::vector<ProcessRow>& processes, time_t now) {
  Choice choice = parse(options);
  const bool own = !choice.columns.empty();
  if (!own && choice.full) choice.columns = {"user", "pid", "ppid", "c", "stime", "tty", "time", "cmd"};
  if (!own && !choice.full) add_columns(choice.stat ? "pid,tty,stat,time,args" : "pid,tty,time,cmd", choice);
  std::vector<Row> rows(1 + processes.size());
  for (const std::string& name : choice.columns) {
    const Column* column = std::ranges::find_if(kColumns, [&](const Column& c) { return name == c.name; });
    if (column == std::end(kColumns)) unknown(name);
    // In the full format the user's column is called so.
    const bool full_user = !own && name == "user";
    rows[0].push_back(aligned(full_user ? "UID" : column->title, column->width));
    for (size_t i = 0; i < processes.size(); ++i)
      rows[i + 1].push_back(aligned(column->text(processes[i], now), column->width));
  }
  return table_text(rows, 1, 1);
}

}  // namespace husk::cmd
