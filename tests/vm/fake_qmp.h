// A QMP server on a socketpair, in a thread: it greets, then answers each line by a function of the test.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "libcontainer/base/fd.h"
#include "libcontainer/base/message.h"

namespace husk::vm {

class FakeQmp {
 public:
  // Gets a command (its "id" inside), returns the bytes to answer; an empty answer: none.
  using Answer = std::function<std::string(const Json& command)>;

  static constexpr const char* kGreeting = "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n";

  explicit FakeQmp(Answer answer, std::string greeting = kGreeting) : answer_(std::move(answer)) {
    auto [ours, theirs] = socket_pair(SOCK_STREAM);
    client = std::move(ours);
    server_ = std::move(theirs);
    thread_ = std::thread([this, greeting] { serve(greeting); });
  }
  ~FakeQmp() {
    shutdown(server_.get(), SHUT_RDWR);
    thread_.join();
  }

  // {"return": {}} for this command.
  static std::string ok(const Json& command, Json value = Json::object()) {
    return Json{{"return", std::move(value)}, {"id", command["id"]}}.dump() + "\r\n";
  }
  void hang_up() { shutdown(server_.get(), SHUT_RDWR); }

  UniqueFd client;
  std::vector<UniqueFd> received_fds;

 private:
  void serve(const std::string& greeting) {
    send(server_.get(), greeting.data(), greeting.size(), MSG_NOSIGNAL);
    std::string buffer;
    char chunk[512];
    for (;;) {
      alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 4)];
      iovec iov{chunk, sizeof chunk};
      msghdr msg{};
      msg.msg_iov = &iov;
      msg.msg_iovlen = 1;
      msg.msg_control = control;
      msg.msg_controllen = sizeof control;
      ssize_t n = recvmsg(server_.get(), &msg, MSG_CMSG_CLOEXEC);
      if (n <= 0) return;
      if (cmsghdr* c = CMSG_FIRSTHDR(&msg)) {
        int fd;
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
        received_fds.emplace_back(fd);
      }
      buffer.append(chunk, static_cast<size_t>(n));
      for (size_t end; (end = buffer.find('\n')) != std::string::npos; buffer.erase(0, end + 1)) {
        Json command = Json::parse(buffer.substr(0, end));
        std::string reply = command["execute"] == "qmp_capabilities" ? ok(command) : answer_(command);
        send(server_.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
      }
    }
  }

  Answer answer_;
  UniqueFd server_;
  std::thread thread_;
};

}  // namespace husk::vm
