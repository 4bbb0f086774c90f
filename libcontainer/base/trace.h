// One timeline of a start, as --trace FILE writes it: Chrome's trace event format, a JSON array of complete
// ("X") events whose closing bracket may be missing, so that several processes append to one file. Off, a
// span costs a look at a flag. Thread-safe but for to_file() and to_memory(), which come first. Times are
// CLOCK_REALTIME, in ns: no time namespace shifts it, and the guest's is set to the host's.
// https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace husk::trace {

struct Event {
  std::string program, thread, name;
  pid_t pid = 0, tid = 0;
  int64_t begin_ns = 0, end_ns = 0;
};

// Appends the spans of this process to a file, which is made where it is missing. Throws.
void to_file(const std::string& path, const std::string& program);
// Keeps them (up to a bound, what comes later is lost) until take(). Called again it changes nothing.
void to_memory(const std::string& program);
bool on();
std::vector<Event> take();
// The clock has been set: what was kept before moves by so much.
void shift(int64_t ns);

int64_t now();
// What Span does by itself; for a beginning that lies before the trace's.
void add_span(const char* name, int64_t begin_ns, int64_t end_ns);
// Of another process: one that has no file of its own.
void add(Event event);
// How the timeline names the calling thread; it must live as long. Default: the program's name.
void name_thread(const char* name);

// From here to its destruction.
class Span {
 public:
  explicit Span(const char* name) : name_(on() ? name : nullptr), begin_(name_ ? now() : 0) {}
  Span(const Span&) = delete;
  ~Span() { end(); }
  void end() {
    if (name_) add_span(name_, begin_, now());
    name_ = nullptr;
  }

 private:
  const char* name_;
  int64_t begin_;
};

// How events travel between processes.
nlohmann::json events_to_json(const std::vector<Event>& events);
// Throws kInvalid: they may come from a guest.
std::vector<Event> events_from_json(const nlohmann::json& json);

}  // namespace husk::trace
