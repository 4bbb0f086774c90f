// Questions for Docker's embedded DNS: which resolv.conf names it, and who gets which answer.
#include "vm/sandbox/dns.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <future>

#include "libcontainer/base/error.h"
#include "vm/sandbox/resolv_conf.h"

namespace husk::vm {
namespace {

// A question for the address of "a.bc".
const std::string kQuestion("\x12\x34\x01\x00\0\1\0\0\0\0\0\1\1a\2bc\0\0\1\0\1\0\0\x29\x04\xd0\0\0\0\0\0\0",
                            33);

TEST(ResolvConf, NamesItsServersInOrder) {
  EXPECT_EQ(
      nameservers(
          "nameserver ::1\n#nameserver a\n# nameserver b\nsearch c\n nameserver\t192.0.2.1 d\nnameserver\n"),
      (std::vector<std::string>{"::1", "192.0.2.1"}));
}

TEST(EmbeddedDns, IsWhatResolvConfNames) {
  EXPECT_TRUE(names_embedded_dns("nameserver 127.0.0.11\n"));
  EXPECT_TRUE(
      names_embedded_dns("search a b\nnameserver 192.0.2.1\n  nameserver\t127.0.0.11 \noptions ndots:0"));
  for (const char* other : {"", "nameserver", "# nameserver 127.0.0.11", "nameserver 127.0.0.1",
                            "nameserver 127.0.0.111", "nameserver 127.0.0.11x", "search 127.0.0.11"})
    EXPECT_FALSE(names_embedded_dns(other)) << other;
}

TEST(ServerFailure, RepeatsTheQuestion) {
  EXPECT_EQ(server_failure(kQuestion), std::string("\x12\x34\x81\x82\0\1\0\0\0\0\0\0\1a\2bc\0\0\1\0\1", 22));
  for (size_t size = 0; size < 22; ++size) EXPECT_EQ(server_failure(kQuestion.substr(0, size)), "") << size;
  EXPECT_EQ(server_failure(kQuestion.substr(0, 12) + std::string(500, '\xff')), "");
}

// A server on the loopback of our own network namespace.
class DnsQuestionsTest : public ::testing::Test {
 protected:
  DnsQuestionsTest() : server_(check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket")) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address_;
    check(bind(server_.get(), reinterpret_cast<sockaddr*>(&address_), size), "bind");
    check(getsockname(server_.get(), reinterpret_cast<sockaddr*>(&address_), &size), "getsockname");
  }

  // Takes a question, and whom to answer.
  std::string receive(sockaddr_in& from) {
    char buffer[4096];
    socklen_t size = sizeof from;
    if (!wait_readable(server_.get(), 10000)) return "";
    ssize_t n = recvfrom(server_.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size);
    return {buffer, static_cast<size_t>(std::max<ssize_t>(n, 0))};
  }
  void send(const sockaddr_in& to, const std::string& data) {
    sendto(server_.get(), data.data(), data.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
  }

  using Told = std::pair<std::string, std::string>;
  DnsQuestions::Answer teller() {
    return [this](const std::string& peer, std::string_view data) {
      std::lock_guard lock(mutex_);
      told_.emplace_back(peer, data);
      changed_.notify_all();
    };
  }
  std::vector<Told> told(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return told_.size() >= count; });
    return told_;
  }

  UniqueFd server_;
  sockaddr_in address_{};
  std::shared_ptr<UniqueFd> netns_ = std::make_shared<UniqueFd>(open_file("/proc/self/ns/net", O_RDONLY));
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Told> told_;
};

TEST_F(DnsQuestionsTest, AnswersGoToWhoAsked) {
  DnsQuestions questions(netns_, address_, teller());
  sockaddr_in first{}, second{};
  questions.ask("one", kQuestion + "1");
  ASSERT_EQ(receive(first), kQuestion + "1");
  questions.ask("two", kQuestion + "2");
  ASSERT_EQ(receive(second), kQuestion + "2");
  EXPECT_NE(first.sin_port, second.sin_port);
  send(second, "second");
  EXPECT_EQ(told(1), (std::vector<Told>{{"two", "second"}}));
  send(first, std::string(9000, 'x'));
  EXPECT_EQ(told(2)[1], (Told{"one", std::string(9000, 'x')}));
  questions.ask("three", "short");
  questions.ask("three", std::string(5000, 'x'));
  questions.ask("four", kQuestion);
  EXPECT_EQ(receive(first), kQuestion);  // what is no question did not come
}

TEST_F(DnsQuestionsTest, WhereNobodyListensTheServerHasFailed) {
  server_.reset();
  DnsQuestions questions(netns_, address_, teller());
  questions.ask("one", kQuestion);
  EXPECT_EQ(told(1), (std::vector<Told>{{"one", server_failure(kQuestion)}}));
}

}  // namespace
}  // namespace husk::vm
