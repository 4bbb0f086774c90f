#include "libcontainer/base/trace.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <nlohmann/json.hpp>
#include <set>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/lock.h"

namespace husk::trace {
namespace {

using nlohmann::json;

constexpr size_t kMaxEvents = 1024;  // kept in memory, and taken from a guest
constexpr size_t kMaxName = 64;      // bytes of a guest's name
constexpr int64_t kMaxTime = INT64_MAX / 4;

std::atomic<bool> is_on{false};
thread_local const char* thread_name = nullptr;

struct Sink {
  std::string program;
  UniqueFd file;
  std::mutex mutex;                         // guards what follows
  std::set<std::pair<pid_t, pid_t>> named;  // processes and threads that the file has names for
  std::vector<Event> kept;
};

// Never destroyed: a thread may outlive main's end.
Sink& sink() {
  static Sink* const one = new Sink;
  return *one;
}

// One write a line. A full disk must not stop a container.
void write_line(const json& event) {
  const std::string line = event.dump(-1, ' ', false, json::error_handler_t::replace) + ",\n";
  (void)!write(sink().file.get(), line.data(), line.size());
}

void write_name(const char* what, const Event& of, const std::string& name) {
  write_line({{"ph", "M"}, {"name", what}, {"pid", of.pid}, {"tid", of.tid}, {"args", {{"name", name}}}});
}

int64_t microseconds(int64_t ns) {
  return ns / 1000;
}

void write_event(const Event& event) {
  if (sink().named.emplace(event.pid, event.tid).second) {
    write_name("process_name", event, event.program);
    write_name("thread_name", event, event.thread.empty() ? event.program : event.thread);
  }
  write_line({{"ph", "X"},
              {"cat", event.program},
              {"name", event.name},
              {"pid", event.pid},
              {"tid", event.tid},
              {"ts", microseconds(event.begin_ns)},
              {"dur", microseconds(event.end_ns) - microseconds(event.begin_ns)}});
}

// The first of all writers opens the array.
void open_array(int fd, const std::string& path) {
  if (!lock_exclusively(fd, deadline::kTraceLock))
    throw Error(ErrorKind::kTimeout, path + " is locked by somebody", ETIMEDOUT);
  struct stat st;
  check(fstat(fd, &st), "stat of " + path);
  if (st.st_size == 0) write_all(fd, "[\n", "writing " + path);
  check(flock(fd, LOCK_UN), "unlock " + path);
}

int64_t time_of(const json& event, const char* member) {
  const int64_t ns = event.at(member);
  if (ns < 0 || ns > kMaxTime) throw Error(ErrorKind::kInvalid, std::string("trace: no time: ") + member);
  return ns;
}

std::string text_of(const json& event, const char* member) {
  return printable(event.at(member).get<std::string>(), kMaxName);
}

}  // namespace

void to_file(const std::string& path, const std::string& program) {
  UniqueFd file = open_file(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
  open_array(file.get(), path);
  sink().file = std::move(file);
  sink().program = program;
  is_on = true;
}

void to_memory(const std::string& program) {
  if (is_on) return;
  sink().program = program;
  is_on = true;
}

bool on() {
  return is_on.load(std::memory_order_relaxed);
}

std::vector<Event> take() {
  std::lock_guard lock(sink().mutex);
  return std::exchange(sink().kept, {});
}

void shift(int64_t ns) {
  std::lock_guard lock(sink().mutex);
  for (Event& event : sink().kept) {
    event.begin_ns += ns;
    event.end_ns += ns;
  }
}

int64_t now() {
  timespec time{};
  clock_gettime(CLOCK_REALTIME, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

void add_span(const char* name, int64_t begin_ns, int64_t end_ns) {
  add({sink().program, thread_name ? thread_name : "", name, getpid(), gettid(), begin_ns, end_ns});
}

void add(Event event) {
  if (!on()) return;
  std::lock_guard lock(sink().mutex);
  if (sink().file)
    write_event(event);
  else if (sink().kept.size() < kMaxEvents)
    sink().kept.push_back(std::move(event));
}

void name_thread(const char* name) {
  thread_name = name;
}

json events_to_json(const std::vector<Event>& events) {
  json out = json::array();
  for (const Event& e : events)
    out.push_back({{"program", e.program},
                   {"thread", e.thread},
                   {"name", e.name},
                   {"pid", e.pid},
                   {"tid", e.tid},
                   {"begin", e.begin_ns},
                   {"end", e.end_ns}});
  return out;
}

std::vector<Event> events_from_json(const json& list) {
  if (!list.is_array() || list.size() > kMaxEvents)
    throw Error(ErrorKind::kInvalid, "trace: not a JSON array, or too long");
  std::vector<Event> events;
  try {
    for (const json& e : list)
      events.push_back({text_of(e, "program"), text_of(e, "thread"), text_of(e, "name"), e.at("pid"),
                        e.at("tid"), time_of(e, "begin"), time_of(e, "end")});
  } catch (const json::exception& e) {
    throw Error(ErrorKind::kInvalid, std::string("trace: ") + e.what());
  }
  return events;
}

}  // namespace husk::trace
