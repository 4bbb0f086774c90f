// The log of one command or daemon: runc's text or JSON lines, appended to a file (or stderr).
#pragma once

#include <string>

#include <spdlog/spdlog.h>

namespace husk {

struct LogOptions {
  std::string path;  // empty: stderr
  std::string format =
      "text";          // or "json": {"level":"error","msg":"…","time":"RFC 3339"}, as engines parse it
  bool debug = false;  // else: warnings and errors only
  std::string level;   // trace debug info warning error; empty: decided by `debug`
};

// Makes spdlog's default logger. Call once, early; use spdlog::debug(), warn(), error() afterwards.
// Throws kInvalid for an unknown format or level, or open(2)'s error.
void init_log(const LogOptions& options);

}  // namespace husk
