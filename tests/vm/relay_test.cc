#include "vm/sandbox/relay.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "tests/vm/relay_fixture.h"
#include "vm/sandbox/relay_ends.h"

namespace husk::vm {
namespace {

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

TEST_F(RelayTest, ABusyProcesssPipesBecomeLargerNeverSmaller) {
  constexpr int kTheirs = 1 << 20;
  ASSERT_EQ(fcntl(err_.get(), F_SETPIPE_SZ, kTheirs), kTheirs);
  const int before = fcntl(out_.get(), F_GETPIPE_SZ);
  start();
  const std::string piece(128 << 10, 'x');
  say(Event::kStdout, piece);
  say(Event::kStderr, piece);
  EXPECT_EQ(read_from(out_, piece.size()), piece);
  EXPECT_EQ(read_from(err_, piece.size()), piece);
  EXPECT_GT(fcntl(out_.get(), F_GETPIPE_SZ), before);
  EXPECT_EQ(fcntl(err_.get(), F_GETPIPE_SZ), kTheirs);
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
