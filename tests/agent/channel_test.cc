// A channel's rules: what it keeps, what it waits for, and what ends it.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <future>
#include <thread>

#include "agent/wire/channel.h"
#include "agent/wire/wire.h"

namespace husk {
namespace {

using wire::Channel;
using wire::Frame;
using wire::FrameKind;

constexpr uint32_t kSession = 7;

class ChannelTest : public ::testing::Test {
 protected:
  ChannelTest() : ChannelTest(socket_pair(SOCK_STREAM)) {}

  bool hear(FrameKind kind, std::string data = "") {
    return channel_.hear({kSession, kind, std::move(data)});
  }
  static std::string number(uint32_t value) {  // little-endian
    std::string bytes(4, '\0');
    for (int i = 0; i < 4; ++i) bytes[static_cast<size_t>(i)] = static_cast<char>(value >> 8 * i);
    return bytes;
  }

  wire::FrameLink link_, other_;
  Channel channel_{link_, kSession};

 private:
  explicit ChannelTest(std::pair<UniqueFd, UniqueFd> pair)
      : link_(std::move(pair.first)), other_(std::move(pair.second)) {}
};

TEST_F(ChannelTest, WhatComesIsGivenInOrderAndThenTheEnd) {
  EXPECT_TRUE(hear(FrameKind::kReply, "yes"));
  EXPECT_TRUE(hear(FrameKind::kData, "a"));
  EXPECT_TRUE(hear(FrameKind::kEof));
  EXPECT_TRUE(hear(FrameKind::kClosed));
  EXPECT_FALSE(wait_readable(channel_.over(), 0));
  EXPECT_FALSE(hear(FrameKind::kEnd));
  EXPECT_FALSE(wait_readable(channel_.over(), 0)) << "what came before its end is to be read";
  for (const FrameKind kind : {FrameKind::kReply, FrameKind::kData, FrameKind::kEof, FrameKind::kClosed})
    EXPECT_EQ(channel_.next()->kind, kind);
  EXPECT_TRUE(wait_readable(channel_.over(), 0));
  EXPECT_FALSE(channel_.next());
  EXPECT_FALSE(channel_.send("x"));
  EXPECT_FALSE(channel_.send_eof());
}

TEST_F(ChannelTest, EndedBeforeTheEndOfFileItIsOverAtOnce) {
  EXPECT_TRUE(hear(FrameKind::kData, "a"));
  EXPECT_FALSE(hear(FrameKind::kEnd));
  EXPECT_TRUE(wait_readable(channel_.over(), 0));
  EXPECT_EQ(channel_.next()->data, "a");
  EXPECT_FALSE(channel_.next());
}

TEST_F(ChannelTest, WhatBreaksTheRulesEndsIt) {
  const std::vector<std::vector<Frame>> wrong = {
      {{kSession, FrameKind::kData, ""}},
      {{kSession, FrameKind::kData, std::string(wire::kMaxChunk + 1, 'x')}},
      {{kSession, FrameKind::kEof, ""}, {kSession, FrameKind::kData, "x"}},
      {{kSession, FrameKind::kEof, ""}, {kSession, FrameKind::kEof, ""}},
      {{kSession, FrameKind::kClosed, ""}, {kSession, FrameKind::kClosed, ""}},
      {{kSession, FrameKind::kClosed, "x"}},
      {{kSession, FrameKind::kReply, ""}, {kSession, FrameKind::kReply, ""}},
      {{kSession, FrameKind::kReply, std::string(wire::kMaxChunk + 1, 'x')}},
      {{kSession, FrameKind::kTaken, number(1)}},
      {{kSession, FrameKind::kTaken, "x"}},
      {{kSession, FrameKind::kStdout, "x"}},
  };
  for (const std::vector<Frame>& frames : wrong) {
    Channel channel(link_, kSession);
    for (size_t i = 0; i < frames.size(); ++i) EXPECT_EQ(channel.hear(frames[i]), i + 1 < frames.size());
    EXPECT_FALSE(channel.gone());
  }
}

TEST_F(ChannelTest, KeepsAWindowAndNoMore) {
  size_t pieces = 0;
  while (hear(FrameKind::kData, "x")) ++pieces;
  EXPECT_EQ(pieces, wire::kChannelWindow / (1 + wire::kPieceCost));
}

TEST_F(ChannelTest, SendsNoMoreThanTheOtherSideTakes) {
  const std::string piece(wire::kMaxChunk, 'x');
  const size_t cost = piece.size() + wire::kPieceCost;
  std::thread reader([this] {
    while (other_.read()) {
    }
  });
  for (size_t sum = cost; sum <= wire::kChannelWindow; sum += cost) ASSERT_TRUE(channel_.send(piece));
  auto waiting = std::async(std::launch::async, [&] { return channel_.send(piece); });
  EXPECT_EQ(waiting.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  EXPECT_TRUE(hear(FrameKind::kTaken, number(static_cast<uint32_t>(cost))));
  EXPECT_TRUE(waiting.get());
  auto cut = std::async(std::launch::async, [&] { return channel_.send(piece); });
  channel_.close();
  EXPECT_FALSE(cut.get());
  link_.end();
  reader.join();
}

TEST_F(ChannelTest, TellsWhatWasTakenNotEachTime) {
  const std::string piece(wire::kMaxChunk, 'x');
  const size_t cost = piece.size() + wire::kPieceCost;
  for (size_t told = 0; told < wire::kChannelWindow / 4; told += cost) {
    ASSERT_TRUE(hear(FrameKind::kData, piece));
    channel_.taken(channel_.next()->data.size());
  }
  const std::optional<Frame> frame = other_.read();
  EXPECT_EQ(frame->kind, FrameKind::kTaken);
  EXPECT_EQ(frame->data, number(static_cast<uint32_t>(2 * cost)));
  EXPECT_EQ(frame->session, kSession);
}

TEST_F(ChannelTest, ClosedIsSaidOnceAndHeardAtOnce) {
  channel_.send_closed();
  channel_.send_closed();
  channel_.close();
  EXPECT_TRUE(link_.write(1, FrameKind::kReply, ""));
  for (const FrameKind kind : {FrameKind::kClosed, FrameKind::kReply}) EXPECT_EQ(other_.read()->kind, kind);
  Channel full(link_, kSession);
  full.hear({kSession, FrameKind::kData, "x"});
  EXPECT_FALSE(full.unread());
  full.hear({kSession, FrameKind::kClosed, ""});
  EXPECT_TRUE(full.unread());
}

}  // namespace
}  // namespace husk
