#include "vm/sandbox/dns.h"

#include <arpa/inet.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <vector>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "vm/sandbox/host_socket.h"
#include "vm/sandbox/resolv_conf.h"

namespace husk::vm {
namespace {

constexpr size_t kHeader = 12;         // of a message (RFC 1035, 4.1.1)
constexpr size_t kMaxQuestion = 4096;  // bytes
constexpr size_t kMaxAnswer = 64u << 10;
constexpr size_t kMaxOpen = 256;
constexpr uint8_t kResponse = 0x80, kRecursionAvailable = 0x80, kServerFailure = 2;

// Where the first question of a message ends, or 0.
size_t end_of_question(std::string_view message) {
  size_t at = kHeader;
  while (at < message.size() && message[at] != 0) at += static_cast<uint8_t>(message[at]) + 1u;
  const size_t end = at + 5;  // the root's label, type and class
  return end <= message.size() ? end : 0;
}

}  // namespace

sockaddr_in embedded_dns() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(kEmbeddedDns);
  address.sin_port = htons(kDnsPort);
  return address;
}

bool names_embedded_dns(std::string_view resolv_conf) {
  return std::ranges::any_of(nameservers(resolv_conf), [](const std::string& address) {
    in_addr parsed{};
    return inet_pton(AF_INET, address.c_str(), &parsed) == 1 && ntohl(parsed.s_addr) == kEmbeddedDns;
  });
}

std::string server_failure(std::string_view question) {
  const size_t end = question.size() > kHeader ? end_of_question(question) : 0;
  if (end == 0) return "";
  std::string answer(question.substr(0, end));
  answer[2] = static_cast<char>(static_cast<uint8_t>(answer[2]) | kResponse);
  answer[3] = static_cast<char>(kRecursionAvailable | kServerFailure);
  const std::string_view counts("\0\1\0\0\0\0\0\0", 8);  // one question, nothing else
  answer.replace(4, counts.size(), counts);
  return answer;
}

DnsQuestions::DnsQuestions(std::shared_ptr<UniqueFd> netns, const sockaddr_in& server, Answer answer)
    : netns_(std::move(netns)),
      server_(server),
      answer_(std::move(answer)),
      wake_(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")),
      thread_([this] { run(); }) {}

DnsQuestions::~DnsQuestions() {
  {
    std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
  thread_.join();
}

void DnsQuestions::ask(const std::string& peer, std::string_view question) {
  if (question.size() <= kHeader || question.size() > kMaxQuestion) return;
  {
    std::lock_guard lock(mutex_);
    if (stopped_ || open_.size() >= kMaxOpen) return;
  }
  Open open{{}, peer, std::string(question), Clock::now() + deadline::kDnsAnswer};
  try {
    const std::atomic<bool> stopped{false};  // UDP: it does not wait
    open.socket = connect_in(netns_->get(), SOCK_DGRAM, server_, stopped);
    check(send(open.socket.get(), question.data(), question.size(), MSG_NOSIGNAL), "send");
  } catch (const std::exception& e) {  // no more threads, too
    spdlog::debug("embedded DNS: {}", e.what());
    return fail(open);
  }
  const int fd = open.socket.get();
  std::lock_guard lock(mutex_);
  open_.emplace(fd, std::move(open));
  uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

void DnsQuestions::fail(const Open& open) {
  const std::string failure = server_failure(open.question);
  if (!failure.empty()) answer_(open.peer, failure);
}

void DnsQuestions::tell(const Open& open) {
  std::string data(kMaxAnswer, '\0');
  const ssize_t n = recv(open.socket.get(), data.data(), data.size(), MSG_DONTWAIT);
  if (n >= 0) return answer_(open.peer, std::string_view(data).substr(0, static_cast<size_t>(n)));
  spdlog::debug("embedded DNS: errno {}", errno);
  fail(open);
}

void DnsQuestions::run() noexcept {
  try {
    wait();
  } catch (const std::exception& e) {  // no memory
    spdlog::warn("Docker's embedded DNS is not asked any more: {}", e.what());
    std::lock_guard lock(mutex_);
    stopped_ = true;
    open_.clear();
  }
}

void DnsQuestions::wait() {
  for (;;) {
    std::vector<pollfd> fds = {{wake_.get(), POLLIN, 0}};
    auto until = Clock::time_point::max();
    {
      std::lock_guard lock(mutex_);
      if (stopped_) return;
      const auto now = Clock::now();
      std::erase_if(open_, [&](const auto& item) { return item.second.until <= now; });
      for (const auto& [fd, open] : open_) {
        fds.push_back({fd, POLLIN, 0});
        until = std::min(until, open.until);
      }
    }
    int timeout = -1;
    if (fds.size() > 1)
      timeout = static_cast<int>(
          std::chrono::ceil<std::chrono::milliseconds>(std::max(until - Clock::now(), Clock::duration(0)))
              .count());
    if (poll(fds.data(), fds.size(), timeout) < 0) continue;
    uint64_t count;
    if (fds[0].revents) (void)!read(wake_.get(), &count, sizeof count);
    for (size_t i = 1; i < fds.size(); ++i) {
      if (!fds[i].revents) continue;
      Open answered;
      {
        std::lock_guard lock(mutex_);
        answered = std::move(open_.extract(fds[i].fd).mapped());
      }
      tell(answered);
    }
  }
}

}  // namespace husk::vm
