// What the guest may reach on the host: the agent's listeners, and what the client hears of them.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <condition_variable>
#include <deque>
#include <future>
#include <thread>

#include "agent/client/agent_client.h"
#include "agent/guest/connections.h"
#include "libcontainer/base/error.h"
#include "libcontainer/linux/netlink.h"
#include "tests/agent/fake_agent.h"

namespace husk {
namespace {

// In a thread whose namespaces are its own: /run and the loopback are nobody else's.
void in_namespaces(const std::function<void()>& f) {
  if (geteuid() != 0) GTEST_SKIP() << "namespaces need root";
  std::thread([&] {
    check(unshare(CLONE_NEWNS | CLONE_NEWNET), "unshare");
    check(mount("", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "mount / private");
    check(mount("run", "/run", "tmpfs", 0, nullptr), "mount /run");
    check(mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, nullptr), "mount cgroup2");
    set_link_up("lo");
    f();
  }).join();
}

// What a listening hears, one by one.
class Ear {
 public:
  explicit Ear(guest::Listening& listening)
      : listening_(listening), thread_([this] {
          listening_.run([this](guest::Heard heard) {
            std::lock_guard lock(mutex_);
            heard_.push_back(std::move(heard));
            changed_.notify_all();
            return true;
          });
        }) {}
  ~Ear() {
    listening_.stop();
    thread_.join();
  }
  guest::Heard next() {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(10), [&] { return !heard_.empty(); }))
      throw Error(ErrorKind::kTimeout, "nothing was heard");
    guest::Heard heard = std::move(heard_.front());
    heard_.pop_front();
    return heard;
  }
  bool silent() {
    std::unique_lock lock(mutex_);
    return !changed_.wait_for(lock, std::chrono::milliseconds(100), [&] { return !heard_.empty(); });
  }

 private:
  guest::Listening& listening_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<guest::Heard> heard_;
  std::thread thread_;
};

UniqueFd connect_unix(const std::string& path) {
  UniqueFd fd(check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, path.c_str());
  check(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "connect");
  return fd;
}

TEST(Listening, ASocketOfTheHostsOwnerModeAndLimit) {
  in_namespaces([] {
    const std::string path = guest::socket_path("c1/3");
    guest::Connections connections;
    {
      guest::Listening listening(guest::Listener(guest::SocketFile{"c1", 3, 0640, 1000, 1001}), connections,
                                 2);
      struct stat st {};
      EXPECT_EQ(stat(path.c_str(), &st), 0);
      EXPECT_TRUE(S_ISSOCK(st.st_mode) && (st.st_mode & 07777) == 0640 && st.st_uid == 1000 &&
                  st.st_gid == 1001);
      Ear ear(listening);
      std::vector<UniqueFd> clients;
      for (int i = 0; i < 3; ++i) clients.push_back(connect_unix(path));
      const guest::Heard first = ear.next();
      EXPECT_EQ(first.uid, geteuid());
      EXPECT_EQ(first.gid, getegid());
      ear.next();
      EXPECT_TRUE(ear.silent());  // the third waits
      connections.take(first.connection);
      ear.next();
      EXPECT_THROW(connections.take(first.connection), Error);
    }
    EXPECT_EQ(access(path.c_str(), F_OK), -1);
    EXPECT_EQ(access(guest::socket_path("c1").c_str(), F_OK), -1);
  });
}

TEST(Listening, AgainBeforeTheLastOneHasGone) {
  in_namespaces([] {
    const std::string path = guest::socket_path("c1/0");
    guest::Connections connections;
    auto last = std::make_unique<guest::Listener>(guest::SocketFile{"c1", 0, 0600, 0, 0});
    guest::Listening listening(guest::Listener(guest::SocketFile{"c1", 0, 0600, 0, 0}), connections, 2);
    last.reset();
    Ear ear(listening);
    const UniqueFd client = connect_unix(path);
    EXPECT_GT(ear.next().connection, 0u);
  });
}

sockaddr_in loopback(const char* text, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  inet_pton(AF_INET, text, &address.sin_addr);
  return address;
}

TEST(Listening, ToAPortThatOthersMayBind) {
  in_namespaces([] {
    const sockaddr_in dns = loopback("127.0.0.11", 53), all = loopback("0.0.0.0", 53);
    const auto address = [](const sockaddr_in& in) { return reinterpret_cast<const sockaddr*>(&in); };
    guest::Connections connections;
    guest::Listening udp(guest::Listener(guest::LoopbackPort{ntohl(dns.sin_addr.s_addr), 53, true}, -1),
                         connections, 2);
    guest::Listening tcp(guest::Listener(guest::LoopbackPort{ntohl(dns.sin_addr.s_addr), 53, false}, -1),
                         connections, 2);
    Ear udp_ear(udp), tcp_ear(tcp);
    for (const bool connected : {false, true}) {
      UniqueFd client(check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
      if (connected) check(connect(client.get(), address(dns), sizeof dns), "connect");
      check(sendto(client.get(), "question", 8, 0, connected ? nullptr : address(dns),
                   connected ? 0 : sizeof dns),
            "sendto");
      const guest::Heard heard = udp_ear.next();
      EXPECT_EQ(heard.datagram.data, "question");
      udp.answer({heard.datagram.peer, "answer"});
      char buffer[64];
      sockaddr_in from{};
      socklen_t size = sizeof from;
      EXPECT_TRUE(wait_readable(client.get(), 10000));
      EXPECT_EQ(recvfrom(client.get(), buffer, sizeof buffer, MSG_DONTWAIT,
                         reinterpret_cast<sockaddr*>(&from), &size),
                6);
      EXPECT_TRUE(from.sin_addr.s_addr == dns.sin_addr.s_addr && from.sin_port == dns.sin_port);
    }
    UniqueFd client(check(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
    check(connect(client.get(), address(dns), sizeof dns), "connect");
    EXPECT_GT(tcp_ear.next().connection, 0u);
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    check(getpeername(client.get(), reinterpret_cast<sockaddr*>(&peer), &size), "getpeername");
    EXPECT_EQ(ntohs(peer.sin_port), 53);
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) {
      UniqueFd server(check(socket(AF_INET, type | SOCK_CLOEXEC, 0), "socket"));
      EXPECT_EQ(bind(server.get(), address(all), sizeof all), 0);
    }
  });
}

TEST(Listening, OnlyToTheLoopback) {
  EXPECT_THROW(guest::Listener(guest::LoopbackPort{0x0a000001, 53, true}, -1), Error);
}

// --- the client's ListenStream ---

class ListenTest : public ::testing::Test {
 protected:
  static void say_listening(wire::Channel& channel) {
    agent::Reply reply;
    reply.mutable_done();
    channel.reply(reply.SerializeAsString());
  }
  static void say(wire::Channel& channel, const agent::Heard& heard) {
    channel.send(heard.SerializeAsString());
  }
  static void wait_for_end(wire::Channel& channel) {
    while (channel.next()) {
    }
  }
  ~ListenTest() override { agent_.stop(); }

  testing::FakeAgent agent_;
  AgentClient client_{agent_.start()};
};

TEST_F(ListenTest, NewsAndAnswers) {
  std::promise<std::string> answered;
  agent_.on_channel = [&](wire::Channel& channel, const agent::Request& request) {
    EXPECT_EQ(request.listen().port().network(), "key");
    EXPECT_TRUE(request.listen().port().datagrams());
    say_listening(channel);
    agent::Heard heard;
    heard.mutable_connection()->set_id(5);
    heard.mutable_connection()->set_uid(1000);
    heard.mutable_connection()->add_groups(7);
    say(channel, heard);
    channel.send("no message");
    heard.mutable_question()->set_peer(std::string(1000, 'x'));  // no address is that long
    say(channel, heard);
    heard.mutable_question()->set_peer("me");
    heard.mutable_question()->set_data("what?");
    say(channel, heard);
    agent::Datagram answer;
    answer.ParseFromString(channel.next()->data);
    answered.set_value(answer.peer() + answer.data());
    wait_for_end(channel);
  };
  auto stream = client_.listen(GuestPort{"key", INADDR_LOOPBACK, 53, true});
  ListenStream::News news;
  ASSERT_TRUE(stream->read(news));
  EXPECT_EQ(news.event, ListenStream::Event::kConnection);
  EXPECT_EQ(news.connection, 5u);
  EXPECT_EQ(news.uid, 1000u);
  EXPECT_EQ(news.groups, std::vector<gid_t>{7});
  ASSERT_TRUE(stream->read(news));
  EXPECT_EQ(news.event, ListenStream::Event::kQuestion);
  EXPECT_EQ(news.peer + news.data, "mewhat?");
  EXPECT_TRUE(stream->answer("me", std::string(1 << 20, 'x'))) << "lost, as datagrams are";
  EXPECT_TRUE(stream->answer("me", "that"));
  EXPECT_EQ(answered.get_future().get(), "methat");
  auto reading = std::async(std::launch::async, [&] { return stream->read(news); });
  stream->cancel();
  EXPECT_FALSE(reading.get());
}

TEST_F(ListenTest, MoreNewsThanTheWindowInTheirTurn) {
  constexpr uint64_t kCount = 3 * wire::kChannelWindow / wire::kPieceCost;
  agent_.on_channel = [&](wire::Channel& channel, const agent::Request&) {
    say_listening(channel);
    agent::Heard heard;
    for (uint64_t i = 1; i <= kCount; ++i) {
      heard.mutable_connection()->set_id(i);
      say(channel, heard);
    }
    wait_for_end(channel);
  };
  auto stream = client_.listen(GuestSocket{"c1", 0, 0600, 0, 0});
  ListenStream::News news;
  for (uint64_t i = 1; i <= kCount; ++i) ASSERT_TRUE(stream->read(news) && news.connection == i);
}

TEST_F(ListenTest, WhatGoesWrongAtFirstIsAnError) {
  agent_.on_channel = [](wire::Channel&, const agent::Request&) {
    throw Error(ErrorKind::kExists, "it is taken", EADDRINUSE);
  };
  try {
    client_.listen(GuestSocket{"c1", 0, 0600, 0, 0});
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kExists);
    EXPECT_EQ(e.errnum(), EADDRINUSE);
  }
  agent_.on_channel = [](wire::Channel& channel, const agent::Request&) { say(channel, {}); };
  EXPECT_THROW(client_.listen(GuestSocket{"c1", 0, 0600, 0, 0}), Error);
}

}  // namespace
}  // namespace husk
