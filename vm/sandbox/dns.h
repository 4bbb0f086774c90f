// Docker's embedded DNS for the guest. dockerd answers at 127.0.0.11 of a container's network namespace on
// the host (its packet filter there redirects port 53 to a socket of dockerd's).
#pragma once

#include <netinet/in.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

#include "libcontainer/base/fd.h"

namespace husk::vm {

// Docker's address, in host byte order, and DNS's port. Other addresses of the loopback that a resolv.conf
// may name are those of a server in the pod itself, that is, in the guest.
inline constexpr uint32_t kEmbeddedDns = 0x7f00000b;  // 127.0.0.11
inline constexpr uint16_t kDnsPort = 53;

sockaddr_in embedded_dns();
// Whether a resolv.conf(5) names it.
bool names_embedded_dns(std::string_view resolv_conf);
// What a resolver answers that cannot tell (RFC 1035: SERVFAIL, to the same question). Empty where the
// question is none.
std::string server_failure(std::string_view question);

// Questions by UDP. Each has a socket of its own, so that an answer is known by where it comes, and a
// resolver that dockerd has started anew is found. One thread waits for all answers.
class DnsQuestions {
 public:
  // Called in any thread.
  using Answer = std::function<void(const std::string& peer, std::string_view data)>;
  DnsQuestions(std::shared_ptr<UniqueFd> netns, const sockaddr_in& server, Answer answer);
  ~DnsQuestions();

  // Where nobody listens the answer is SERVFAIL. What is no question, or one too many, is dropped: who asked
  // asks again.
  void ask(const std::string& peer, std::string_view question);

 private:
  using Clock = std::chrono::steady_clock;
  struct Open {
    UniqueFd socket;
    std::string peer, question;
    Clock::time_point until;  // given up then
  };
  void run() noexcept;
  void wait();
  void tell(const Open& open);
  void fail(const Open& open);

  const std::shared_ptr<UniqueFd> netns_;
  const sockaddr_in server_;
  const Answer answer_;
  UniqueFd wake_;
  std::mutex mutex_;          // of what follows
  std::map<int, Open> open_;  // by socket
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace husk::vm
