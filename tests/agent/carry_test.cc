// A connection's bytes in a channel, between two ends of socketpairs.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "agent/client/agent_client.h"
#include "agent/guest/connections.h"
#include "agent/wire/carry.h"
#include "libcontainer/base/error.h"
#include "tests/agent/fake_agent.h"

namespace husk {
namespace {

std::string read_to_end(int fd) {
  std::string all;
  char buffer[8192];
  for (;;) {
    const ssize_t n = read(fd, buffer, sizeof buffer);
    if (n <= 0) return all;
    all.append(buffer, static_cast<size_t>(n));
  }
}

std::string pattern(size_t size) {
  std::string data(size, '\0');
  for (size_t i = 0; i < size; ++i) data[i] = static_cast<char>(i * 2654435761u >> 13);
  return data;
}

// The agent's connections are the ends of socketpairs.
class CarryTest : public ::testing::Test {
 protected:
  CarryTest() {
    agent_.on_channel = [this](wire::Channel& channel, const agent::Request& request) {
      guest::Connection connection = connections_.take(request.carry().connection());
      wire::carry(std::move(connection.socket), channel);
    };
    UniqueFd agents;
    std::tie(agents, guest_) = socket_pair(SOCK_STREAM);
    std::tie(host_, ours_) = socket_pair(SOCK_STREAM);
    stream_ = client_.carry(connections_.add({std::move(agents), {}}, this));
  }
  ~CarryTest() override { agent_.stop(); }
  std::future<bool> run() {
    return std::async(std::launch::async, [this] { return stream_->run(std::move(ours_)); });
  }

  guest::Connections connections_;
  testing::FakeAgent agent_;
  AgentClient client_{agent_.start()};
  UniqueFd guest_, host_, ours_;  // the two who talk, and what the host's one is connected to
  std::unique_ptr<CarryStream> stream_;
};

TEST_F(CarryTest, BytesBothWaysAndEndsOfFileOneByOne) {
  auto done = run();
  const std::string asked = pattern(3 << 20), answered = pattern(2 << 20);
  std::thread asking([&] {
    write_all(guest_.get(), asked, "write");
    shutdown(guest_.get(), SHUT_WR);
  });
  EXPECT_TRUE(read_to_end(host_.get()) == asked);  // the half-close came
  asking.join();
  std::thread answering([&] {
    write_all(host_.get(), answered, "write");
    host_.reset();
  });
  EXPECT_TRUE(read_to_end(guest_.get()) == answered);
  answering.join();
  EXPECT_TRUE(done.get());
}

TEST_F(CarryTest, WhoWritesIsToldThatNobodyReads) {
  auto done = run();
  std::thread reader([&] {
    char byte;
    ASSERT_EQ(read(guest_.get(), &byte, 1), 1);
    guest_.reset();
  });
  const std::string data(64 << 10, 'x');
  ssize_t n;
  do n = send(host_.get(), data.data(), data.size(), MSG_NOSIGNAL);
  while (n > 0);
  EXPECT_TRUE(errno == EPIPE || errno == ECONNRESET);
  reader.join();
  host_.reset();
  done.get();
}

TEST_F(CarryTest, AClosedSocketIsToldThoughNothingIsWritten) {
  auto done = run();
  shutdown(guest_.get(), SHUT_WR);
  EXPECT_EQ(read_to_end(host_.get()), "");
  guest_.reset();
  char byte = 0;
  while (send(host_.get(), &byte, 1, MSG_NOSIGNAL) == 1) usleep(1000);
  EXPECT_EQ(errno, EPIPE);
  host_.reset();
  done.get();
}

// A server that answers and closes without having read all.
TEST_F(CarryTest, WhatWasWrittenBeforeACloseWithUnreadDataArrives) {
  auto done = run();
  const std::string question = pattern(1000), answer = pattern(2 << 20);
  write_all(host_.get(), question, "write");
  char byte;
  ASSERT_EQ(read(guest_.get(), &byte, 1), 1);
  std::thread answering([&] {
    write_all(guest_.get(), answer, "write");
    guest_.reset();
  });
  EXPECT_TRUE(read_to_end(host_.get()) == answer);
  answering.join();
  EXPECT_TRUE(done.get());
}

TEST_F(CarryTest, WhoOnlyWritesIsToldThoughHeReadsNothing) {
  auto done = run();
  set_nonblocking(host_.get(), true);
  const std::string data(64 << 10, 'x');
  const auto fill = [&](int fd) {
    while (send(fd, data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {
    }
    return errno;
  };
  set_nonblocking(guest_.get(), true);
  for (int i = 0; i < 20; ++i) fill(guest_.get()), usleep(10000);  // nobody reads at the host's end
  shutdown(guest_.get(), SHUT_RD);
  int error = EAGAIN;
  for (int i = 0; i < 1000 && error == EAGAIN; ++i) error = fill(host_.get()), usleep(10000);
  EXPECT_EQ(error, EPIPE);
  stream_->cancel();
  EXPECT_FALSE(done.get());
}

TEST_F(CarryTest, NotRunItIsReset) {
  stream_.reset();
  EXPECT_EQ(read_to_end(guest_.get()), "");
}

TEST_F(CarryTest, CancelledItEndsThoughNobodyReads) {
  auto done = run();
  std::thread writer([&] {
    const std::string data(64 << 10, 'x');
    while (send(guest_.get(), data.data(), data.size(), MSG_NOSIGNAL) > 0) {
    }
  });
  char byte;
  EXPECT_EQ(read(host_.get(), &byte, 1), 1);  // and no more: both sides are full soon
  stream_->cancel();
  EXPECT_FALSE(done.get());
  stream_.reset();
  writer.join();
}

TEST_F(CarryTest, TheGuestsEndIsItsEnd) {
  auto done = run();
  agent_.die();
  EXPECT_FALSE(done.get());
  EXPECT_EQ(read_to_end(host_.get()), "");
}

TEST_F(CarryTest, AnUnknownConnectionEndsAtOnce) {
  EXPECT_FALSE(client_.carry(77)->run(std::move(ours_)));
  EXPECT_EQ(read_to_end(host_.get()), "");
}

TEST(Carry, AGuestThatReadsNothingHoldsUpNobodyWhoCancels) {
  auto [ours, guest] = socket_pair(SOCK_STREAM);
  AgentClient client(std::move(ours));
  std::unique_ptr<CarryStream> stream = client.carry(1);
  auto [host, carried] = socket_pair(SOCK_STREAM);
  auto done = std::async(std::launch::async, [&, socket = std::move(carried)]() mutable {
    return stream->run(std::move(socket));
  });
  const std::string data(64 << 10, 'x');
  for (int full = 0; full < 20; usleep(5000))  // until the link is, too
    full = send(host.get(), data.data(), data.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0 ? 0 : full + 1;
  auto cancelled = std::async(std::launch::async, [&] { stream->cancel(); });
  EXPECT_EQ(cancelled.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  guest.reset();
  EXPECT_FALSE(done.get());
}

}  // namespace
}  // namespace husk
