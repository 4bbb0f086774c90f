// A Relay between pipes, and the stream of a process as the test says it.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <future>

#include "libcontainer/base/error.h"
#include "vm/sandbox/relay.h"
#include "vm/sandbox/shim_protocol.h"

namespace husk::vm {

using Event = AttachStream::Event;
using std::chrono::seconds;

// What a guest's process does, as the test says it.
class FakeStream : public AttachStream {
 public:
  // The test's side.
  void say(Output output) {
    std::lock_guard lock(mutex_);
    said_.push_back(std::move(output));
    changed_.notify_all();
  }
  void say_end(ExitStatus status) {
    say({Event::kExited, {}, status, false});
    say({Event::kStdoutEof, {}, {}, false});
    say({Event::kStderrEof, {}, {}, false});
    end();
  }
  void end() {
    std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }
  void die() {
    std::lock_guard lock(mutex_);
    dead_ = true;
    changed_.notify_all();
  }
  // What came from the relay, one after the other: "in:…", "eof", "size:RxC", "out closed", …
  bool heard(const std::string& text) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, seconds(10), [&] { return heard_.find(text) != std::string::npos; });
  }
  size_t stdout_taken() {
    std::lock_guard lock(mutex_);
    return stdout_taken_;
  }

  // Input is not taken before that.
  void hold_up(std::shared_future<void> reads_again) {
    std::lock_guard lock(mutex_);
    reads_again_ = std::move(reads_again);
  }
  // From now on there is no memory for this: "read", "taken", or what begins as heard() has it.
  void fail(const std::string& what) {
    std::lock_guard lock(mutex_);
    fails_ = what;
    changed_.notify_all();
  }

  bool read(Output& out) override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !said_.empty() || ended_ || dead_ || fails_ == "read"; });
    if (fails_ == "read") throw std::bad_alloc();
    if (dead_ && said_.empty()) throw Error(ErrorKind::kGuestDied, "gone");
    if (said_.empty()) return false;
    out = std::move(said_.front());
    said_.pop_front();
    return true;
  }
  bool write_stdin(std::string_view data) override {
    const bool heard = hear("in:" + std::string(data));
    std::unique_lock lock(mutex_);
    const std::shared_future<void> reads_again = reads_again_;
    lock.unlock();
    if (reads_again.valid()) reads_again.wait();
    return heard;
  }
  bool close_stdin() override { return hear("eof"); }
  bool resize(unsigned rows, unsigned columns) override {
    return hear("size:" + std::to_string(rows) + "x" + std::to_string(columns));
  }
  bool close_stdout() override { return hear("out closed"); }
  bool close_stderr() override { return hear("err closed"); }
  bool stdout_taken(size_t bytes) override {
    std::lock_guard lock(mutex_);
    if (fails_ == "taken") throw std::bad_alloc();
    stdout_taken_ += bytes;
    changed_.notify_all();
    return true;
  }
  bool stderr_taken(size_t) override { return true; }
  void cancel() override { die(); }

 private:
  bool hear(const std::string& text) {
    std::lock_guard lock(mutex_);
    if (!fails_.empty() && text.starts_with(fails_)) throw std::bad_alloc();
    heard_ += text + ";";
    changed_.notify_all();
    return !dead_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Output> said_;
  std::string heard_, fails_;
  std::shared_future<void> reads_again_;
  size_t stdout_taken_ = 0;
  bool ended_ = false, dead_ = false;
};

class RelayTest : public ::testing::Test {
 protected:
  RelayTest() {
    std::tie(in_read_, in_) = make_pipe();
    std::tie(out_, out_write_) = make_pipe();
    std::tie(err_, err_write_) = make_pipe();
    std::tie(shim_, shim_theirs_) = socket_pair(SOCK_SEQPACKET);
  }

  void start(bool terminal = false) {
    auto stream = std::make_unique<FakeStream>();
    guest_ = stream.get();
    std::vector<UniqueFd> fds;
    for (UniqueFd* fd : {&in_read_, &out_write_, &err_write_, &shim_theirs_}) fds.push_back(std::move(*fd));
    Relay::Handlers handlers;
    handlers.complete = [this] { complete_.set_value(); };
    handlers.signal = [this](int signal) { signal_.set_value(signal); };
    handlers.out_of_memory = [] {};
    handlers.exited = [this](ExitStatus status) { exited_.set_value(status); };
    handlers.finished = [this] { finished_.set_value(); };
    relay_ = std::make_unique<Relay>(std::move(stream), ProcessFds::take(fds, terminal), std::move(handlers));
  }
  void say(Event event, std::string data = "") { guest_->say({event, std::move(data), {}, false}); }
  // Its exit code, or 1000 + signal; -1: it is not told.
  int told(std::chrono::milliseconds timeout = seconds(10)) {
    ShimMessage message{};
    if (!wait_readable(shim_.get(), static_cast<int>(timeout.count()))) return -1;
    if (recv(shim_.get(), &message, sizeof message, 0) != sizeof message) return -2;
    return message.signal ? 1000 + message.signal : message.value;
  }
  std::string read_from(const UniqueFd& fd, size_t size) {
    std::string data(size, '\0');
    size_t done = 0;
    while (done < size && wait_readable(fd.get(), 10'000)) {
      const ssize_t n = read(fd.get(), data.data() + done, size - done);
      if (n <= 0) break;
      done += static_cast<size_t>(n);
    }
    data.resize(done);
    return data;
  }

  UniqueFd in_, out_, err_, shim_;  // ours
  UniqueFd in_read_, out_write_, err_write_, shim_theirs_;
  FakeStream* guest_ = nullptr;
  std::promise<int> signal_;  // of the shim's
  std::promise<ExitStatus> exited_;
  std::promise<void> complete_;
  std::promise<void> finished_;
  std::unique_ptr<Relay> relay_;
};

}  // namespace husk::vm
