// A client of unix and TCP sockets for containers, which have no other, and a server that tells who has
// connected.
//   dial unix PATH, dial tcp ADDRESS PORT    stdin goes there, what comes back to stdout; stdin's end is a
//                                            half-close
//   dial who PATH                            listens, and answers each connection "UID GID GROUP..."
//   dial dns ADDRESS ANSWER                  a DNS server there, to which every name is ANSWER
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "unix_socket.h"

namespace {

[[noreturn]] void die(const char* what) {
  fprintf(stderr, "dial: %s: %s\n", what, strerror(errno));
  exit(1);
}

int checked(int fd, const char* what) {
  if (fd < 0) die(what);
  return fd;
}

sockaddr_in inet_address(const char* host, const char* port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(atoi(port)));
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1) die(host);
  return address;
}

int connect_tcp(const char* host, const char* port) {
  const sockaddr_in address = inet_address(host, port);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  if (fd < 0 || connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) die(host);
  return fd;
}

int bind_inet(const char* host, int type) {
  const sockaddr_in address = inet_address(host, "53");
  const int fd = socket(AF_INET, type, 0), one = 1;
  if (type == SOCK_STREAM) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) die(host);
  if (type == SOCK_STREAM && listen(fd, 8) != 0) die(host);
  return fd;
}

// RFC 1035. Of a message with one question; only one for an address (type A) gets one.
std::string dns_answer(const std::string& question, const char* address) {
  size_t end = 12;
  while (end < question.size() && question[end] != 0) end += static_cast<unsigned char>(question[end]) + 1u;
  end += 5;
  if (end > question.size()) return "";
  const bool has_answer = question[end - 4] == 0 && question[end - 3] == 1;
  std::string answer =
      question.substr(0, 2) + std::string("\x81\x80\0\1\0\0\0\0\0\0", 10) + question.substr(12, end - 12);
  if (!has_answer) return answer;
  answer[7] = 1;
  in_addr binary{};
  inet_pton(AF_INET, address, &binary);
  answer += std::string("\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4", 12);
  return answer + std::string(reinterpret_cast<const char*>(&binary), sizeof binary);
}

[[noreturn]] void serve_dns(const char* host, const char* answer) {
  pollfd fds[] = {{bind_inet(host, SOCK_DGRAM), POLLIN, 0}, {bind_inet(host, SOCK_STREAM), POLLIN, 0}};
  char buffer[4096];
  while (poll(fds, 2, -1) > 0) {
    if (fds[0].revents) {
      sockaddr_in from{};
      socklen_t size = sizeof from;
      const ssize_t n =
          recvfrom(fds[0].fd, buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size);
      const std::string data = n > 0 ? dns_answer({buffer, static_cast<size_t>(n)}, answer) : "";
      if (!data.empty())
        sendto(fds[0].fd, data.data(), data.size(), 0, reinterpret_cast<sockaddr*>(&from), size);
    }
    if (fds[1].revents) {
      const int client = accept(fds[1].fd, nullptr, nullptr);
      const ssize_t n = read(client, buffer, sizeof buffer);
      const std::string data = n > 2 ? dns_answer({buffer + 2, static_cast<size_t>(n - 2)}, answer) : "";
      const std::string size = {static_cast<char>(data.size() >> 8), static_cast<char>(data.size())};
      if (!data.empty()) send(client, (size + data).data(), data.size() + 2, MSG_NOSIGNAL);
      close(client);
    }
  }
  die("poll");
}

void write_all(int fd, const char* data, ssize_t size) {
  while (size > 0) {
    const ssize_t n = write(fd, data, static_cast<size_t>(size));
    if (n < 0) die("write");
    data += n;
    size -= n;
  }
}

// Until the other side writes no more. Who echoes must be read while we have more to say.
void talk(int fd) {
  std::string buffer(65536, '\0'), unsent;
  pollfd fds[] = {{0, POLLIN, 0}, {fd, POLLIN, 0}};
  bool over = false;  // stdin is
  for (;;) {
    fds[0].fd = over || !unsent.empty() ? -1 : 0;
    fds[1].events = static_cast<short>(unsent.empty() ? POLLIN : POLLIN | POLLOUT);
    if (poll(fds, 2, -1) < 0) die("poll");
    if (fds[1].revents & ~POLLOUT) {
      const ssize_t n = read(fd, buffer.data(), buffer.size());
      if (n < 0) die("read");
      if (n == 0) return;
      write_all(1, buffer.data(), n);
    }
    if (fds[1].revents & POLLOUT) {
      const ssize_t n = send(fd, unsent.data(), unsent.size(), MSG_DONTWAIT);
      if (n < 0 && errno != EAGAIN) die("write");
      if (n > 0) unsent.erase(0, static_cast<size_t>(n));
    }
    if (fds[0].revents) {
      const ssize_t n = read(0, buffer.data(), buffer.size());
      if (n < 0) die("stdin");
      unsent.assign(buffer.data(), static_cast<size_t>(n));
      over = n == 0;
    }
    if (over) shutdown(fd, SHUT_WR);
  }
}

[[noreturn]] void tell_who(const char* path) {
  const int fd = checked(unix_socket::listen_at(path), path);
  for (;;) {
    const int client = checked(unix_socket::accept_from(fd), "accept");
    ucred peer{};
    socklen_t size = sizeof peer;
    getsockopt(client, SOL_SOCKET, SO_PEERCRED, &peer, &size);
    std::vector<gid_t> groups(64);
    size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    if (getsockopt(client, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) != 0) size = 0;
    groups.resize(size / sizeof(gid_t));
    std::string text = std::to_string(peer.uid) + " " + std::to_string(peer.gid);
    for (const gid_t group : groups) text += " " + std::to_string(group);
    text += "\n";
    write_all(client, text.data(), static_cast<ssize_t>(text.size()));
    close(client);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "who" && argc == 3) tell_who(argv[2]);
  if (mode == "dns" && argc == 4) serve_dns(argv[2], argv[3]);
  if (mode == "unix" && argc == 3)
    talk(checked(unix_socket::connect_to(argv[2]), argv[2]));
  else if (mode == "tcp" && argc == 4)
    talk(connect_tcp(argv[2], argv[3]));
  else
    return fprintf(stderr, "usage: dial unix PATH | tcp ADDRESS PORT | who PATH | dns ADDRESS ANSWER\n"), 2;
}
