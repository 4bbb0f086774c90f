#include "vm/sandbox/relay.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <condition_variable>
#include <deque>
#include <future>

#include "libcontainer/base/error.h"
#include "libcontainer/base/stream_fd.h"
#include "tests/vm/temp_folder.h"
#include "vm/sandbox/relay_ends.h"
#include "vm/sandbox/shim_protocol.h"

namespace {
std::atomic<int> threads_left{INT_MAX};
}

// In the C library's place: so many threads can be made, then none, as where pids.max is reached.
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*),
                   void* argument) noexcept {
  static const auto real = reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
  return threads_left-- > 0 ? real(thread, attributes, run, argument) : EAGAIN;
}

namespace husk::vm {
namespace {

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

  // Input is not taken before that; to be called before there is any.
  void hold_up(std::shared_future<void> reads_again) { reads_again_ = std::move(reads_again); }
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
    if (reads_again_.valid()) reads_again_.wait();
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

constexpr std::chrono::milliseconds kNot{200};  // for what must not come

TEST_F(RelayTest, BytesBothWaysAndTheEndBehindThem) {
  start();
  write_all(in_.get(), "typed", "write");
  EXPECT_TRUE(guest_->heard("in:typed"));
  in_.reset();
  EXPECT_TRUE(guest_->heard("eof"));
  say(Event::kStdout, "out");
  say(Event::kStderr, "err");
  guest_->say_end({7, 0});
  EXPECT_EQ(told(), 7);
  EXPECT_EQ(read_from(out_, 100), "out");  // to the end
  EXPECT_EQ(read_from(err_, 100), "err");
  EXPECT_EQ(finished_.get_future().wait_for(seconds(10)), std::future_status::ready);
}

TEST_F(RelayTest, AReaderThatDoesNotReadHoldsUpNeitherTheOtherStreamNorSignals) {
  start();
  say(Event::kStdout, std::string(300'000, 'x'));
  say(Event::kStderr, "err");
  EXPECT_EQ(read_from(err_, 3), "err");
  EXPECT_LT(guest_->stdout_taken(), 300'000u);
  ShimMessage signal{ShimMessageType::kSignal, SIGUSR1, 0};
  ASSERT_GT(send(shim_.get(), &signal, sizeof signal, 0), 0);
  EXPECT_EQ(signal_.get_future().get(), SIGUSR1);
  EXPECT_EQ(read_from(out_, 300'000).size(), 300'000u);
  guest_->say_end({0, 0});
  EXPECT_EQ(told(), 0);
}

TEST_F(RelayTest, TheEndWaitsForAReaderUntilASignalComes) {
  start();
  say(Event::kStdout, std::string(300'000, 'x'));
  guest_->say_end({3, 0});
  EXPECT_EQ(told(kNot), -1);
  EXPECT_FALSE(relay_->on_signal(SIGWINCH));
  EXPECT_TRUE(relay_->on_signal(SIGTERM));  // it needs none any more
  EXPECT_EQ(told(), 3);
  EXPECT_FALSE(relay_->on_signal(SIGTERM));
  EXPECT_EQ(finished_.get_future().wait_for(seconds(10)), std::future_status::ready);
}

TEST_F(RelayTest, AnEndThatFollowsASignalDoesNotWaitForAReader) {
  start();
  say(Event::kStdout, std::string(300'000, 'x'));
  ShimMessage signal{ShimMessageType::kSignal, SIGTERM, 0};
  ASSERT_GT(send(shim_.get(), &signal, sizeof signal, 0), 0);
  EXPECT_EQ(signal_.get_future().get(), SIGTERM);
  guest_->say_end({0, SIGTERM});
  EXPECT_EQ(told(), 1000 + SIGTERM);
}

TEST_F(RelayTest, AReaderThatReadsLateGetsAllOfItBeforeTheEnd) {
  start();
  say(Event::kStdout, std::string(300'000, 'x'));
  guest_->say_end({0, 0});
  EXPECT_EQ(read_from(out_, 299'000).size(), 299'000u);
  EXPECT_EQ(told(), 0);
  EXPECT_EQ(read_from(out_, 2'000).size(), 1'000u);
}

TEST_F(RelayTest, AReaderThatGoesIsToldOfAtOnce) {
  start();
  out_.reset();
  EXPECT_TRUE(guest_->heard("out closed"));
  err_.reset();
  EXPECT_TRUE(guest_->heard("err closed"));
  say(Event::kStdout, "thrown away");
  guest_->say_end({0, SIGPIPE});
  EXPECT_EQ(told(), 1000 + SIGPIPE);
  EXPECT_EQ(guest_->stdout_taken(), 11u);
}

TEST_F(RelayTest, StdinThatNobodyReadsIsClosed) {
  start();
  say(Event::kStdinClosed);
  signal(SIGPIPE, SIG_IGN);
  pollfd fd{in_.get(), 0, 0};
  EXPECT_EQ(poll(&fd, 1, 10'000), 1);
  EXPECT_EQ(write(in_.get(), "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
}

TEST_F(RelayTest, TheGuestsDeathIsTheProcesssBehindWhatCame) {
  start();
  say(Event::kStdout, "last words");
  guest_->die();
  EXPECT_EQ(told(), 1000 + SIGKILL);
  EXPECT_EQ(read_from(out_, 100), "last words");
}

TEST_F(RelayTest, AShimThatWasKilledKillsTheProcess) {
  start();
  shim_.reset();
  EXPECT_EQ(signal_.get_future().get(), SIGKILL);
  guest_->say_end({0, SIGKILL});
  EXPECT_EQ(exited_.get_future().get().signal, SIGKILL);
}

TEST_F(RelayTest, ItsDestructionTellsOfAKilledProcess) {
  start();
  say(Event::kStdout, std::string(300'000, 'x'));
  relay_.reset();
  EXPECT_EQ(told(), 1000 + SIGKILL);
}

TEST_F(RelayTest, ATerminalsSizeAndHangUp) {
  UniqueFd master(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_EQ(unlockpt(master.get()), 0);
  UniqueFd slave(ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  in_read_ = dup_fd(slave.get());
  out_write_ = dup_fd(slave.get());
  err_write_ = std::move(slave);
  start(true);
  EXPECT_FALSE(relay_->window_size());
  winsize size{};
  size.ws_row = 33;
  size.ws_col = 77;
  ASSERT_EQ(ioctl(master.get(), TIOCSWINSZ, &size), 0);
  ASSERT_TRUE(relay_->window_size());
  EXPECT_EQ(relay_->window_size()->columns, 77u);
  ShimMessage resized{ShimMessageType::kResized, 0, 0};
  ASSERT_GT(send(shim_.get(), &resized, sizeof resized, 0), 0);
  EXPECT_TRUE(guest_->heard("size:33x77"));
  master.reset();
  EXPECT_TRUE(guest_->heard("out closed"));
}

TEST(StreamFd, KnowsTheSameOutput) {
  auto [a_read, a] = make_pipe();
  auto [b_read, b] = make_pipe();
  const UniqueFd same = dup_fd(a.get());
  EXPECT_TRUE(is_same_output(a.get(), same.get()));
  EXPECT_FALSE(is_same_output(a.get(), b.get()));
  TempFolder folder;
  const std::string path = folder / "file";
  const UniqueFd file = open_file(path, O_WRONLY | O_CREAT, 0644), again = open_file(path, O_WRONLY),
                 shared = dup_fd(file.get());
  EXPECT_FALSE(is_same_output(file.get(), again.get()));  // each with a place of its own
  EXPECT_TRUE(is_same_output(file.get(), shared.get()));
}

TEST(StreamFd, OfOursOnlyDoesNotBlock) {
  auto [read_end, write_end] = make_pipe();
  UniqueFd own = dup_fd(write_end.get());
  unblock(own, O_WRONLY);
  EXPECT_TRUE(fcntl(own.get(), F_GETFL) & O_NONBLOCK);
  EXPECT_FALSE(fcntl(write_end.get(), F_GETFL) & O_NONBLOCK);
  auto [one, other] = socket_pair(SOCK_STREAM);
  const int before = one.get();
  unblock(one, O_WRONLY);
  EXPECT_EQ(one.get(), before);
  TempFolder folder;
  const std::string fifo = folder / "fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const UniqueFd named = open_file(fifo, O_RDWR);
  EXPECT_TRUE(is_named_fifo(named.get()));
  EXPECT_FALSE(is_named_fifo(write_end.get()));
}

TEST_F(RelayTest, WhoDestroysItNeedNotWaitForAGuestThatDoesNotRead) {
  start();
  std::promise<void> reads_again;
  guest_->hold_up(reads_again.get_future().share());
  write_all(in_.get(), "typed", "write");
  EXPECT_TRUE(guest_->heard("in:typed"));
  guest_->say_end({7, 0});
  EXPECT_EQ(told(), 7);
  EXPECT_EQ(finished_.get_future().wait_for(seconds(10)), std::future_status::ready);
  pollfd fd{in_.get(), 0, 0};
  {
    RelayEnds ends;
    ends.take(std::move(relay_));
    EXPECT_EQ(poll(&fd, 1, 0), 0);
    reads_again.set_value();
  }
  EXPECT_EQ(poll(&fd, 1, 0), 1);  // it is gone
}

TEST_F(RelayTest, WithoutMemoryForItsOutputTheProcessIsKilled) {
  start();
  guest_->fail("read");
  EXPECT_EQ(signal_.get_future().get(), SIGKILL);
  EXPECT_EQ(told(), 1000 + SIGKILL);
  EXPECT_EQ(finished_.get_future().wait_for(seconds(10)), std::future_status::ready);
}

TEST_F(RelayTest, WithoutMemoryForItsInputTheProcessIsKilled) {
  start();
  guest_->fail("in:");
  write_all(in_.get(), "typed", "write");
  EXPECT_EQ(signal_.get_future().get(), SIGKILL);
  guest_->say_end({0, SIGKILL});
  EXPECT_EQ(told(), 1000 + SIGKILL);
}

TEST_F(RelayTest, WithoutMemoryForOneOutputThatOneEnds) {
  start();
  guest_->fail("taken");
  say(Event::kStdout, "out");
  EXPECT_TRUE(guest_->heard("out closed"));
  say(Event::kStdout, "more");
  say(Event::kStderr, "err");
  guest_->say_end({7, 0});
  EXPECT_EQ(told(), 7);
  EXPECT_EQ(read_from(out_, 100), "out");
  EXPECT_EQ(read_from(err_, 100), "err");
}

// Of the five that it has: both outputs', the shim's, the input's, the reader.
TEST(Relay, WithoutThreadsIsAnErrorAndLeavesNothing) {
  for (int threads = 0; threads < 5; ++threads) {
    auto [in, in_write] = make_pipe();
    auto [out, out_write] = make_pipe();
    auto [err, err_write] = make_pipe();
    auto [shim, shim_theirs] = socket_pair(SOCK_SEQPACKET);
    std::vector<UniqueFd> fds;
    for (UniqueFd* fd : {&in, &out_write, &err_write, &shim_theirs}) fds.push_back(std::move(*fd));
    Relay::Handlers handlers;
    handlers.signal = [](int) { ADD_FAILURE() << "a signal"; };
    handlers.out_of_memory = handlers.complete = handlers.finished = [] { ADD_FAILURE() << "an end"; };
    handlers.exited = [](ExitStatus) { ADD_FAILURE() << "an exit"; };
    ProcessFds process = ProcessFds::take(fds, false);
    threads_left = threads;
    try {
      const Relay relay(std::make_unique<FakeStream>(), std::move(process), std::move(handlers));
      ADD_FAILURE() << "made with " << threads << " threads";
    } catch (const Error& e) {
      EXPECT_EQ(e.errnum(), EAGAIN) << e.what();
    }
    threads_left = INT_MAX;
    char byte;
    EXPECT_EQ(recv(shim.get(), &byte, 1, MSG_DONTWAIT), 0);
    EXPECT_EQ(read(out.get(), &byte, 1), 0);
    EXPECT_EQ(read(err.get(), &byte, 1), 0);
  }
}

TEST_F(RelayTest, IsCompleteWhenAllHasBeenSaid) {
  start();
  say(Event::kStdout, "last words");
  guest_->say({Event::kExited, {}, {3, 0}, false});
  say(Event::kStdoutEof);
  auto complete = complete_.get_future();
  EXPECT_EQ(complete.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  say(Event::kStderrEof);
  EXPECT_EQ(complete.wait_for(seconds(10)), std::future_status::ready);
  EXPECT_EQ(read_from(out_, 10), "last words");
  EXPECT_EQ(told(), 3);
  guest_->end();
  EXPECT_EQ(finished_.get_future().wait_for(seconds(10)), std::future_status::ready);
}

}  // namespace
}  // namespace husk::vm
