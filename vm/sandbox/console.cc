#include "vm/sandbox/console.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include "libcontainer/base/error.h"

namespace husk::vm {
namespace {
constexpr size_t kMaxLine = 256;
constexpr size_t kMaxLines = 30;
}  // namespace

void Console::finish_line() {
  if (line_.empty()) return;
  std::string text = printable(line_, kMaxLine);
  line_.clear();
  spdlog::debug("guest: {}", text);
  if (cause_.empty() &&
      (text.find("Kernel panic") != std::string::npos || text.rfind("husk-agent: ", 0) == 0))
    cause_ = text;
  lines_.push_back(std::move(text));
  if (lines_.size() > kMaxLines) lines_.pop_front();
}

bool Console::pump() {
  std::lock_guard lock(mutex_);
  char buf[4096];
  ssize_t n = read(fd_.get(), buf, sizeof buf);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (n <= 0) {
    finish_line();
    return false;
  }
  for (ssize_t i = 0; i < n; ++i) {
    if (buf[i] == '\n')
      finish_line();
    else if (buf[i] != '\r' && line_.size() <= kMaxLine)
      line_ += buf[i];
  }
  return true;
}

std::string Console::last_words() const {
  std::lock_guard lock(mutex_);
  if (!cause_.empty()) return cause_;
  return lines_.empty() ? "" : lines_.back();
}

std::string Console::tail() const {
  std::lock_guard lock(mutex_);
  std::string out;
  for (const std::string& line : lines_) {
    if (!out.empty()) out += " | ";
    out += line;
  }
  return out;
}

}  // namespace husk::vm
