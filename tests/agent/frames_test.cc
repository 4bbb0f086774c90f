// Frames on a socketpair, and what is kept of them until somebody reads it.
#include "agent/wire/frames.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <thread>

#include "agent/client/reply_inbox.h"
#include "agent/server/workers.h"
#include "agent/wire/wire.h"
#include "libcontainer/base/error.h"

namespace husk {
namespace {

using wire::Frame;
using wire::FrameKind;
using wire::FrameLink;

struct Links {
  Links() : Links(socket_pair(SOCK_STREAM)) {}
  explicit Links(std::pair<UniqueFd, UniqueFd> pair)
      : raw(dup_fd(pair.first.get())), one(std::move(pair.first)), other(std::move(pair.second)) {}
  UniqueFd raw;  // one's
  FrameLink one, other;
};

std::chrono::steady_clock::time_point now() {
  return std::chrono::steady_clock::now();
}

std::string pattern(size_t size) {
  std::string text(size, '\0');
  for (size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 2654435761u >> 11);
  return text;
}

TEST(Frames, OfAnySizeArriveWholeAndInOrder) {
  Links links;
  const size_t sizes[] = {0, 1, 100, wire::kMaxBulk, 5, 3 << 20, wire::kMaxFrame, 7};
  std::thread writer([&] {
    for (size_t size : sizes)
      EXPECT_TRUE(links.one.write(static_cast<uint32_t>(size),
                                  size == wire::kMaxBulk ? FrameKind::kStdout : FrameKind::kRequest,
                                  pattern(size)));
    links.one.end();
  });
  for (size_t size : sizes) {
    const std::optional<Frame> frame = links.other.read();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->session, size);
    EXPECT_TRUE(frame->data == pattern(size));
  }
  EXPECT_FALSE(links.other.read());
  writer.join();
  EXPECT_THROW(links.one.write(1, FrameKind::kRequest, std::string(wire::kMaxFrame + 1, 'x')), Error);
  EXPECT_FALSE(links.other.write(1, FrameKind::kEnd, "nobody hears it"));
}

TEST(Frames, WritersDoNotMixTheirs) {
  Links links;
  std::vector<std::thread> writers;
  for (char c : {'a', 'b', 'c'})
    writers.emplace_back([&links, c] {
      for (int i = 0; i < 100; ++i)
        EXPECT_TRUE(links.one.write(1, FrameKind::kStdout, std::string(20000, c)));
    });
  for (int i = 0; i < 300; ++i) {
    const std::optional<Frame> frame = links.other.read();
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->data, std::string(20000, frame->data.at(0)));
  }
  for (std::thread& writer : writers) writer.join();
}

TEST(Frames, WhatIsInAPipeIsMoved) {
  using Spliced = FrameLink::Spliced;
  Links links;
  auto [out, in] = make_pipe();
  set_nonblocking(out.get(), true);
  write_all(in.get(), pattern(50000), "write");
  EXPECT_EQ(links.one.splice(3, FrameKind::kStderr, out.get(), 40000), Spliced::kAll);
  EXPECT_EQ(links.one.splice(3, FrameKind::kStderr, out.get(), 10000), Spliced::kAll);
  std::string got;
  for (int i = 0; i < 2; ++i) got += links.other.read()->data;
  EXPECT_TRUE(got == pattern(50000));
}

TEST(Frames, WhatIsLostInAPipeHarmsNoOtherFrame) {
  using Spliced = FrameLink::Spliced;
  Links links;
  auto [out, in] = make_pipe();
  set_nonblocking(out.get(), true);
  write_all(in.get(), "abc", "write");
  EXPECT_EQ(links.one.splice(3, FrameKind::kStdout, out.get(), 5), Spliced::kLost);
  EXPECT_TRUE(links.one.write(4, FrameKind::kEnd, ""));
  EXPECT_EQ(links.other.read()->data, std::string("abc\0\0", 5));
  EXPECT_EQ(links.other.read()->session, 4u);
  links.other.end();
  write_all(in.get(), "abc", "write");
  EXPECT_EQ(links.one.splice(3, FrameKind::kStdout, out.get(), 3), Spliced::kGone);
}

TEST(Frames, WhoWaitsForAnothersWriteHasADeadlineOfHisOwn) {
  Links links;
  std::thread stuck([&] { EXPECT_FALSE(links.one.write(1, FrameKind::kRequest, pattern(4 << 20))); });
  while (!wait_readable(links.other.fd(), 100)) {
  }
  EXPECT_FALSE(links.one.write_by(now(), 2, FrameKind::kRequest, "x"));
  links.other.end();
  stuck.join();
}

// Fills what the kernel keeps for a reader, to the byte.
void jam(int socket) {
  const std::string bytes(1 << 20, 'x');
  for (size_t size = bytes.size(); size > 0; size /= 2)
    while (send(socket, bytes.data(), size, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
    }
}

TEST(Frames, WhatWasNotBegunInTimeLeavesTheConnectionAlone) {
  Links links;
  jam(links.raw.get());
  EXPECT_FALSE(links.one.write_by(now(), 1, FrameKind::kRequest, "x"));
  char buffer[65536];
  while (recv(links.other.fd(), buffer, sizeof buffer, MSG_DONTWAIT) > 0) {
  }
  EXPECT_TRUE(links.one.write(2, FrameKind::kRequest, "y"));
  EXPECT_EQ(links.other.read()->data, "y");
}

TEST(Frames, HalfAFrameThatIsNotTakenInTimeEndsTheConnection) {
  Links links;
  EXPECT_FALSE(links.one.write_by(now(), 1, FrameKind::kRequest, pattern(4 << 20)));
  EXPECT_FALSE(links.one.read());
}

TEST(Frames, WhatIsNoneIsRefused) {
  const uint32_t headers[][2] = {{1, 0}, {1, 200u << 24}, {1, 6u << 24 | (wire::kMaxBulk + 1)}};
  for (const auto& header : headers) {
    Links links;
    ASSERT_EQ(write(links.raw.get(), header, sizeof header), static_cast<ssize_t>(sizeof header));
    EXPECT_THROW(links.other.read(), Error);
  }
  Links links;  // one that is cut off
  const uint32_t header[2] = {1, 1u << 24 | 1000};
  ASSERT_EQ(write(links.raw.get(), header, sizeof header), static_cast<ssize_t>(sizeof header));
  links.one.end();
  EXPECT_FALSE(links.other.read());
}

TEST(Frames, EndWakesWhoReads) {
  Links links;
  std::thread reader([&] { EXPECT_FALSE(links.other.read()); });
  links.other.end();
  reader.join();
}

TEST(ReplyInbox, KeepsSmallOutputInFewPieces) {
  ReplyInbox inbox;
  for (int i = 0; i < 100000; ++i) ASSERT_TRUE(inbox.hear({1, FrameKind::kStdout, "x"}));
  ASSERT_TRUE(inbox.hear({1, FrameKind::kStderr, "y"}));
  inbox.end(false);
  EXPECT_EQ(inbox.next()->data, std::string(100000, 'x'));
  EXPECT_EQ(inbox.next()->data, "y");
  EXPECT_FALSE(inbox.next());
  EXPECT_FALSE(inbox.gone());
}

TEST(ReplyInbox, TwoOutputsByTurnsAreTwoPieces) {
  ReplyInbox inbox;
  for (int i = 0; i < 100000; ++i) {
    ASSERT_TRUE(inbox.hear({1, FrameKind::kStdout, "x"}));
    ASSERT_TRUE(inbox.hear({1, FrameKind::kStderr, "y"}));
  }
  ASSERT_TRUE(inbox.hear({1, FrameKind::kOutput, "word"}));
  ASSERT_TRUE(inbox.hear({1, FrameKind::kStdout, "z"}));
  for (const std::string& data :
       {std::string(100000, 'x'), std::string(100000, 'y'), std::string("word"), std::string("z")})
    EXPECT_EQ(inbox.next()->data, data);
}

TEST(ReplyInbox, IsBounded) {
  ReplyInbox empty;
  size_t frames = 0;
  while (empty.hear({1, FrameKind::kStdout, ""}) && empty.hear({1, FrameKind::kOutput, ""})) ++frames;
  EXPECT_LT(frames, 10000u);
  ReplyInbox words;
  size_t count = 0;
  while (words.hear({1, FrameKind::kOutput, ""})) ++count;
  EXPECT_LT(count, 10000u);
  ReplyInbox large;
  count = 0;
  while (large.hear({1, FrameKind::kReply, std::string(wire::kMaxReply / 8, 'x')})) ++count;
  EXPECT_EQ(count, 8u);
  ReplyInbox bytes;
  const std::string chunk(wire::kMaxBulk, 'x');
  for (size_t sum = chunk.size(); sum <= wire::kOutputWindow + wire::kMaxRest; sum += chunk.size())
    ASSERT_TRUE(bytes.hear({1, FrameKind::kStderr, chunk}));
  EXPECT_FALSE(bytes.hear({1, FrameKind::kStderr, "x"}));
  bool late = true;
  EXPECT_TRUE(bytes.next(std::chrono::milliseconds(0), late)) << "what is there can be read";
}

TEST(ReplyInbox, TellsOfWhatIsLate) {
  ReplyInbox inbox;
  bool late = false;
  EXPECT_FALSE(inbox.next(std::chrono::milliseconds(1), late));
  EXPECT_TRUE(late);
  inbox.end(true);
  EXPECT_FALSE(inbox.next(std::chrono::milliseconds(1), late));
  EXPECT_FALSE(late);
  EXPECT_TRUE(inbox.gone());
}

TEST(Workers, AreMadeAsTheyAreNeeded) {
  auto& workers = *new Workers;  // its threads stay
  workers.prepare(1);
  constexpr int kJobs = 20;
  std::mutex mutex;
  std::condition_variable changed;
  int running = 0, done = 0;
  for (int i = 0; i < kJobs; ++i)
    workers.run([&] {
      std::unique_lock lock(mutex);
      ++running;
      changed.notify_all();
      changed.wait(lock, [&] { return running >= kJobs; });  // all at once
      ++done;
      changed.notify_all();
    });
  std::unique_lock lock(mutex);
  EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(20), [&] { return done == kJobs; }));
}

}  // namespace
}  // namespace husk
