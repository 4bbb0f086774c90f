#include "vm/qemu/qmp.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace husk::vm {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void throw_gone() {
  throw Error(ErrorKind::kGuestDied, "QEMU closed its control socket", EPIPE);
}

void wait_for(int fd, short events, Clock::time_point until) {
  for (;;) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
    pollfd p{fd, events, 0};
    int n = left < 0 ? 0 : poll(&p, 1, static_cast<int>(left));
    if (n > 0) return;
    if (n == 0) throw Error(ErrorKind::kTimeout, "QEMU did not answer in time", ETIMEDOUT);
    if (errno != EINTR) throw_errno("poll");
  }
}

}  // namespace

Json Qmp::execute(const std::string& command, const Json& arguments, const std::vector<int>& fds,
                  std::chrono::milliseconds timeout) {
  return with_context("QMP " + command, [&] {
    if (!socket_) throw_gone();
    if (!negotiated_) negotiate();
    return call(command, arguments, fds, Clock::now() + timeout);
  });
}

void Qmp::negotiate() {
  auto until = Clock::now() + deadline::kQmpGreeting;
  if (!receive(until).contains("QMP")) throw Error(ErrorKind::kInvalid, "not a QMP greeting", EPROTO);
  call("qmp_capabilities", Json::object(), {}, until);
  negotiated_ = true;
}

Json Qmp::call(const std::string& command, const Json& arguments, const std::vector<int>& fds,
               Clock::time_point until) {
  Json request = {{"execute", command}, {"id", ++last_id_}};
  if (!arguments.empty()) request["arguments"] = arguments;
  send(request.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n", fds, until);
  for (;;) {
    Json reply = receive(until);
    // An answer that came after its command's deadline.
    if (reply.contains("id") && reply["id"] != last_id_) continue;
    if (reply.contains("return")) return std::move(reply["return"]);
    auto error = reply.find("error");
    if (error == reply.end() || !error->is_object())
      throw Error(ErrorKind::kInvalid, "not a QMP reply", EPROTO);
    auto desc = error->find("desc");
    throw Error(
        ErrorKind::kInternal,
        printable(desc != error->end() && desc->is_string() ? desc->get<std::string>() : error->dump()));
  }
}

void Qmp::send(const std::string& line, const std::vector<int>& fds, Clock::time_point until) {
  std::vector<char> control(CMSG_SPACE(sizeof(int) * std::max<size_t>(fds.size(), 1)));
  size_t sent = 0;
  while (sent < line.size()) {
    wait_for(socket_.get(), POLLOUT, until);
    iovec iov{const_cast<char*>(line.data()) + sent, line.size() - sent};
    msghdr msg{};
    msg.msg_iov = &iov;
    msg.msg_iovlen = 1;
    if (sent == 0 && !fds.empty()) {  // the fds go with the first byte
      msg.msg_control = control.data();
      msg.msg_controllen = control.size();
      cmsghdr* c = CMSG_FIRSTHDR(&msg);
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
      memcpy(CMSG_DATA(c), fds.data(), sizeof(int) * fds.size());
    }
    ssize_t n = sendmsg(socket_.get(), &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && (errno == EPIPE || errno == ECONNRESET)) throw_gone();
    if (n < 0 && errno != EAGAIN && errno != EINTR) throw_errno("sending to QEMU");
    if (n > 0) sent += static_cast<size_t>(n);
  }
}

Json Qmp::receive(Clock::time_point until) {
  for (;;) {
    Json message = next_message(until);
    if (!message.contains("event")) return message;
    events_.push_back(std::move(message));
    if (events_.size() > kMaxEvents) events_.pop_front();
  }
}

Json Qmp::wait_event(const std::string& name, Clock::time_point until) {
  for (;;) {
    Json event;
    if (events_.empty()) {
      event = next_message(until);
    } else {
      event = std::move(events_.front());
      events_.pop_front();
    }
    if (event.value("event", "") == name) return event;
  }
}

Json Qmp::next_message(Clock::time_point until) {
  for (;;) {
    size_t end = buffer_.find('\n');
    if (end != std::string::npos) {
      Json message = parse_untrusted(std::string_view(buffer_).substr(0, end));
      buffer_.erase(0, end + 1);
      if (!message.is_object()) throw Error(ErrorKind::kInvalid, "QEMU sent what is not QMP", EPROTO);
      return message;
    }
    if (buffer_.size() >= kMaxLine) throw Error(ErrorKind::kInvalid, "QEMU sent an endless line", EMSGSIZE);
    wait_for(socket_.get(), POLLIN, until);
    char chunk[4096];
    ssize_t n = recv(socket_.get(), chunk, sizeof chunk, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno == ECONNRESET)) throw_gone();
    if (n < 0 && errno != EAGAIN && errno != EINTR) throw_errno("receiving from QEMU");
    if (n > 0) buffer_.append(chunk, static_cast<size_t>(n));
  }
}

}  // namespace husk::vm
