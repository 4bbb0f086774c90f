#include "vm/sandbox/output_writer.h"

#include <fcntl.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/stream_fd.h"

namespace husk::vm {
namespace {

constexpr size_t kSmall = 64u << 10;
constexpr int kLargePipe = 256 << 10;  // of a busy process
constexpr int kPatience = static_cast<int>(std::chrono::milliseconds(deadline::kLateOutput).count());

}  // namespace

OutputWriter::OutputWriter(UniqueFd fd, Handlers handlers)
    : handlers_(std::move(handlers)),
      wake_(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      fd_(std::move(fd)),
      watched_(!is_named_fifo(fd_.get())) {
  unblock(fd_, O_WRONLY);
  thread_ = std::thread([this] { run(); });
}

OutputWriter::~OutputWriter() {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  wake();
  thread_.join();
}

void OutputWriter::wake() {
  uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof one);
}

void OutputWriter::add(Item item) {
  {
    std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
  }
  wake();
}

// A line behind a line that waits is one piece with it. The first one may be on its way already.
void OutputWriter::write(std::string data) {
  {
    std::lock_guard lock(mutex_);
    if (items_.size() > 1 && items_.back().kind == Item::Kind::kData && items_.back().data.size() < kSmall) {
      items_.back().data += data;
      return;
    }
  }
  add({Item::Kind::kData, std::move(data), {}});
}

void OutputWriter::close() {
  add({Item::Kind::kClose, {}, {}});
}

void OutputWriter::then(std::function<void()> done) {
  add({Item::Kind::kCall, {}, std::move(done)});
}

void OutputWriter::hurry() {
  {
    std::lock_guard lock(mutex_);
    hurried_ = true;
  }
  wake();
}

void OutputWriter::run() {
  for (bool over = false; !over;) {
    try {
      do_items();
      over = !wait();
    } catch (const std::exception& e) {  // no memory
      give_up(e.what());
    }
  }
}

void OutputWriter::do_items() {
  while (Item* item = first()) {
    if (!do_item(*item)) return;
    drop_first();
  }
}

// Whoever wrote hears that its reader is gone; the calls behind come in their turn.
void OutputWriter::give_up(const char* why) noexcept {
  spdlog::warn("a process's output is cut off: {}", why);
  drop_first();
  try {
    if (fd_) break_off();
  } catch (const std::exception&) {  // as before
  }
}

void OutputWriter::drop_first() {
  std::lock_guard lock(mutex_);
  if (!items_.empty()) items_.pop_front();
  written_ = 0;
}

// Stays where it is while others add: only this thread takes items away.
OutputWriter::Item* OutputWriter::first() {
  std::lock_guard lock(mutex_);
  return items_.empty() || ended_ ? nullptr : &items_.front();
}

// False: it has to wait for the reader.
bool OutputWriter::do_item(Item& item) {
  switch (item.kind) {
    case Item::Kind::kData:
      return write_data(item.data);
    case Item::Kind::kClose:
      fd_.reset();
      return true;
    case Item::Kind::kCall:
      if (item.call) item.call();
      return true;
  }
  return true;
}

// Not by more than others of this user's can do without (fs.pipe-user-pages-soft: 64 MiB). Somebody may have
// made it larger; what is no pipe has no size.
void OutputWriter::grow() {
  if (std::exchange(grown_, true) || !fd_) return;
  const int size = fcntl(fd_.get(), F_GETPIPE_SZ);
  if (size > 0 && size < kLargePipe) fcntl(fd_.get(), F_SETPIPE_SZ, kLargePipe);
}

bool OutputWriter::write_data(const std::string& data) {
  if (data.size() > kSmall) grow();
  while (fd_ && written_ < data.size()) {
    const ssize_t n = write_some(fd_.get(), std::string_view(data).substr(written_));
    if (n >= 0) {
      written_ += static_cast<size_t>(n);
      handlers_.taken(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      return false;
    } else if (errno != EINTR) {
      break_off();
    }
  }
  if (written_ < data.size()) handlers_.taken(data.size() - written_);
  return true;
}

void OutputWriter::break_off() {
  fd_.reset();
  handlers_.broken();
}

// For room, or for more to do, or for the reader's end. False: ours.
bool OutputWriter::wait() {
  bool blocked = false, hurried = false;
  {
    std::lock_guard lock(mutex_);
    if (ended_) return false;
    blocked = !items_.empty();
    hurried = hurried_;
  }
  // POLLERR and POLLHUP are always told.
  pollfd fds[2] = {{wake_.get(), POLLIN, 0},
                   {blocked || watched_ ? fd_.get() : -1, static_cast<short>(blocked ? POLLOUT : 0), 0}};
  const int n = poll(fds, 2, blocked && hurried ? kPatience : -1);
  if (n == 0) give_up_waiting();
  if (n <= 0) return true;
  uint64_t count;
  if (fds[0].revents) (void)!read(wake_.get(), &count, sizeof count);
  if (fds[1].revents && !blocked) break_off();
  return true;
}

void OutputWriter::give_up_waiting() {
  std::vector<std::function<void()>> calls;
  {
    std::lock_guard lock(mutex_);
    for (Item& item : items_)
      if (item.kind == Item::Kind::kCall && item.call) calls.push_back(std::exchange(item.call, nullptr));
  }
  for (const auto& call : calls) call();
}

}  // namespace husk::vm
