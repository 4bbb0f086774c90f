#include "libcontainer/base/message.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>

#include "tests/base/temp_folder.h"

namespace husk {
namespace {

TEST(Message, UntrustedJsonIsShallow) {
  const auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_EQ(parse_untrusted(R"({"a": [1, {"b": null}]})").dump(), R"({"a":[1,{"b":null}]})");
  EXPECT_FALSE(parse_untrusted(nested(60)).is_discarded());
  EXPECT_TRUE(parse_untrusted(nested(70)).is_discarded());
  EXPECT_TRUE(parse_untrusted(nested(1'000'000)).is_discarded());
  EXPECT_TRUE(parse_untrusted(std::string(1'000'000, '[')).is_discarded());
  for (const char* text : {"", "{", "{} {}", "\xff", "{\"a\": \"\xff\"}"})
    EXPECT_TRUE(parse_untrusted(text).is_discarded()) << text;
}

TEST(Message, AnErrorSurvives) {
  const Error error = error_from_json(error_to_json(Error(ErrorKind::kTimeout, "why", ETIMEDOUT)));
  EXPECT_EQ(error.kind(), ErrorKind::kTimeout);
  EXPECT_EQ(error.errnum(), ETIMEDOUT);
  EXPECT_EQ(error.message(), "why");
}

TEST(Message, ABrokenErrorIsAnErrorAllTheSame) {
  for (const char* text :
       {"[]", "null", "{}", R"({"error": null})", R"({"error": []})", R"({"error": "x"})",
        R"({"error": {"kind": 5, "errno": "x", "message": []}})", R"({"error": {"errno": 99999999999}})",
        R"({"error": {"errno": -1, "message": ""}})"}) {
    const Error error = error_from_json(Json::parse(text));
    EXPECT_EQ(error.kind(), ErrorKind::kInternal) << text;
    EXPECT_EQ(error.errnum(), 0) << text;
    EXPECT_EQ(error.message(), "unknown error") << text;
  }
}

TEST(ErrorText, PrintableAndOneLine) {
  EXPECT_EQ(printable("a\nb\x1b\xc3\xa4"), "a\\x0ab\\x1b\\xc3\\xa4");
  EXPECT_EQ(printable("abcd", 3), "abc...");
  EXPECT_EQ(one_line("a\nb\x1b\x7f\xc3\xa4"), "a\\x0ab\\x1b\\x7f\xc3\xa4");
}

TEST(Message, PacketsKeepTheirSizesAndFds) {
  auto [ours, theirs] = socket_pair(SOCK_SEQPACKET);
  const std::string large(kMaxMessage, 'x');
  send_packet(ours.get(), std::string("a\0b", 3), {ours.get(), theirs.get()});
  send_packet(ours.get(), large);
  Packet packet;
  const auto receive = [&] { return receive_packet(theirs.get(), packet, std::chrono::seconds(5)); };
  ASSERT_TRUE(receive());
  EXPECT_EQ(packet.bytes, std::string("a\0b", 3));
  EXPECT_EQ(packet.fds.size(), 2u);
  ASSERT_TRUE(receive());
  EXPECT_EQ(packet.bytes, large);
  EXPECT_TRUE(packet.fds.empty());
  EXPECT_THROW(send_packet(ours.get(), large + "x"), Error);
  ours.reset();
  EXPECT_FALSE(receive());
}

TEST(Message, APacketThatIsTooLargeIsRefused) {
  auto [ours, theirs] = socket_pair(SOCK_SEQPACKET);
  send_with_fds(ours.get(), std::string(kMaxMessage + 100, 'x'), {}, "send");
  Packet packet;
  EXPECT_THROW(receive_packet(theirs.get(), packet, std::chrono::seconds(5)), Error);
}

TEST(Message, ConnectingToAFullQueueEnds) {
  const TempFolder temp;
  const UniqueFd folder = open_file(temp.path, O_PATH | O_DIRECTORY);
  const UniqueFd listener = listen_at(folder.get(), "socket", SOCK_SEQPACKET);
  std::vector<UniqueFd> waiting;
  int full = 0;
  while (!full) {
    try {
      waiting.push_back(connect_at(folder.get(), "socket", SOCK_SEQPACKET | SOCK_NONBLOCK));
    } catch (const Error& e) {
      full = e.errnum();
    }
  }
  EXPECT_EQ(full, EAGAIN);
  try {
    connect_at(folder.get(), "socket", SOCK_SEQPACKET, std::chrono::seconds(1));
    FAIL() << "connected";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kTimeout);
    EXPECT_EQ(e.message(), "connect to socket: its queue has been full for 1 s");
  }
}

}  // namespace
}  // namespace husk
