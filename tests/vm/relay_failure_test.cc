// A Relay without memory, or without threads.
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <climits>

#include "tests/vm/relay_fixture.h"

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

class RelayFailureTest : public RelayTest {};

TEST_F(RelayFailureTest, WithoutMemoryForItsOutputTheProcessIsKilled) {
  start();
  guest_->fail("read");
  EXPECT_EQ(signal_.get_future().get(), SIGKILL);
  EXPECT_EQ(told(), 1000 + SIGKILL);
  EXPECT_EQ(finished_.get_future().wait_for(seconds(10)), std::future_status::ready);
}

TEST_F(RelayFailureTest, WithoutMemoryForItsInputTheProcessIsKilled) {
  start();
  guest_->fail("in:");
  write_all(in_.get(), "typed", "write");
  EXPECT_EQ(signal_.get_future().get(), SIGKILL);
  guest_->say_end({0, SIGKILL});
  EXPECT_EQ(told(), 1000 + SIGKILL);
}

TEST_F(RelayFailureTest, WithoutMemoryForOneOutputThatOneEnds) {
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
TEST(RelayFailure, WithoutThreadsIsAnErrorAndLeavesNothing) {
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

}  // namespace
}  // namespace husk::vm
