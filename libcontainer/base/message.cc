#include "libcontainer/base/message.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace husk {
namespace {

constexpr int kMaxDepth = 64;
constexpr int kMaxErrno = 4095;  // the kernel's

sockaddr_un address_at(int dir_fd, const std::string& name) {
  sockaddr_un addr{};
  addr.sun_family = AF_UNIX;
  std::string path = "/proc/self/fd/" + std::to_string(dir_fd) + "/" + name;
  if (path.size() >= sizeof addr.sun_path) throw_errno("socket " + name, ENAMETOOLONG);
  memcpy(addr.sun_path, path.c_str(), path.size() + 1);
  return addr;
}

}  // namespace

void send_with_fds(int socket, std::string_view text, const std::vector<int>& fds, std::string_view what) {
  iovec iov{const_cast<char*>(text.data()), text.size()};
  std::vector<char> control(CMSG_SPACE(sizeof(int) * std::max<size_t>(fds.size(), 1)));
  msghdr msg{};
  msg.msg_iov = &iov;
  msg.msg_iovlen = 1;
  if (!fds.empty()) {
    msg.msg_control = control.data();
    msg.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
    cmsghdr* c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
    memcpy(CMSG_DATA(c), fds.data(), sizeof(int) * fds.size());
  }
  ssize_t n;
  do n = sendmsg(socket, &msg, MSG_NOSIGNAL);
  while (n < 0 && errno == EINTR);
  check(n, what);
}

Json parse_untrusted(std::string_view text) {
  const auto shallow = [](int depth, Json::parse_event_t, Json&) {
    if (depth > kMaxDepth) throw std::length_error("too deep");
    return true;
  };
  try {
    return Json::parse(text, shallow, false);
  } catch (const std::length_error&) {
    return Json(Json::value_t::discarded);
  }
}

void send_packet(int socket, std::string_view bytes, const std::vector<int>& fds) {
  if (bytes.size() > kMaxMessage)
    throw_errno("sending a message of " + std::to_string(bytes.size()) + " bytes", EMSGSIZE);
  send_with_fds(socket, bytes, fds, "sending a message");
}

bool receive_packet(int socket, Packet& out, std::chrono::milliseconds timeout) {
  if (!wait_readable(socket, timeout.count() < 0 ? -1 : static_cast<int>(timeout.count())))
    throw Error(ErrorKind::kTimeout, "no message within " + std::to_string(timeout.count()) + " ms",
                ETIMEDOUT);
  int size = 0;  // of all that waits there: enough for the first of it
  check(ioctl(socket, FIONREAD, &size), "size of a message");
  out.bytes.resize(std::min(static_cast<size_t>(size), kMaxMessage + 1));
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxMessageFds)];
  iovec iov{out.bytes.data(), out.bytes.size()};
  msghdr msg{};
  msg.msg_iov = &iov;
  msg.msg_iovlen = 1;
  msg.msg_control = control;
  msg.msg_controllen = sizeof control;
  ssize_t n;
  do n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
  while (n < 0 && errno == EINTR);
  if (n < 0 && errno == ECONNRESET) return false;
  check(n, "receiving a message");
  out.bytes.resize(static_cast<size_t>(n));
  out.fds.clear();
  for (cmsghdr* c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const char* data = reinterpret_cast<const char*>(CMSG_DATA(c));
    for (size_t i = 0; i < count; ++i) {
      int fd;
      memcpy(&fd, data + i * sizeof fd, sizeof fd);
      out.fds.emplace_back(fd);
    }
  }
  if (n == 0) return false;
  if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
    throw Error(ErrorKind::kInvalid, "a truncated message", EMSGSIZE);
  return true;
}

void send_message(int socket, const Json& body, const std::vector<int>& fds) {
  send_packet(socket, body.dump(-1, ' ', false, Json::error_handler_t::replace), fds);
}

bool receive_message(int socket, Message& out, std::chrono::milliseconds timeout) {
  Packet packet;
  const bool received = receive_packet(socket, packet, timeout);
  out.fds = std::move(packet.fds);
  if (!received) return false;
  out.body = parse_untrusted(packet.bytes);
  if (!out.body.is_object()) throw Error(ErrorKind::kInvalid, "a message that is not a JSON object", EPROTO);
  return true;
}

Json error_to_json(const Error& error) {
  return {{"error",
           {{"kind", kind_name(error.kind())}, {"errno", error.errnum()}, {"message", error.message()}}}};
}

Error error_from_json(const Json& json) {
  const Json error = json.is_object() ? json.value("error", Json()) : Json();
  const auto text = [&](const char* name) {
    const Json value = error.is_object() ? error.value(name, Json()) : Json();
    return value.is_string() ? value.get<std::string>() : std::string();
  };
  const std::string message = text("message");
  const Json number = error.is_object() ? error.value("errno", Json()) : Json();
  const bool is_errno = number.is_number_integer() && number >= 0 && number <= kMaxErrno;
  return Error(kind_from_name(text("kind")), message.empty() ? "unknown error" : message,
               is_errno ? number.get<int>() : 0);
}

void throw_if_error(const Json& reply) {
  if (reply.contains("error")) throw error_from_json(reply);
}

UniqueFd listen_at(int dir_fd, const std::string& name, int type) {
  UniqueFd fd(check(socket(AF_UNIX, type | SOCK_CLOEXEC, 0), "socket"));
  sockaddr_un addr = address_at(dir_fd, name);
  check(bind(fd.get(), reinterpret_cast<sockaddr*>(&addr), sizeof addr), "bind " + name);
  check(listen(fd.get(), 64), "listen " + name);
  return fd;
}

UniqueFd connect_at(int dir_fd, const std::string& name, int type, std::chrono::seconds timeout) {
  UniqueFd fd(check(socket(AF_UNIX, type | SOCK_CLOEXEC, 0), "socket"));
  sockaddr_un addr = address_at(dir_fd, name);
  const timeval limit{timeout.count(), 0};
  check(setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit), "SO_SNDTIMEO");
  int result;
  do result = connect(fd.get(), reinterpret_cast<sockaddr*>(&addr), sizeof addr);
  while (result != 0 && errno == EINTR);
  if (result != 0 && errno == EAGAIN && timeout.count() > 0)
    throw Error(
        ErrorKind::kTimeout,
        "connect to " + name + ": its queue has been full for " + std::to_string(timeout.count()) + " s",
        ETIMEDOUT);
  check(result, "connect to " + name);
  return fd;
}

UniqueFd connect_stream(const std::string& path, const std::string& what) {
  UniqueFd fd(check(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket"));
  sockaddr_un addr{};
  addr.sun_family = AF_UNIX;
  if (path.size() >= sizeof addr.sun_path) throw_errno(what + " " + path, ENAMETOOLONG);
  memcpy(addr.sun_path, path.c_str(), path.size());
  check(connect(fd.get(), reinterpret_cast<sockaddr*>(&addr), sizeof addr), what + " " + path);
  return fd;
}

void send_console(const std::string& socket_path, int master_fd, const std::string& name) {
  const UniqueFd fd = connect_stream(socket_path, "connect to console socket");
  send_with_fds(fd.get(), name, {master_fd}, "sending the console's fd");
}

}  // namespace husk
