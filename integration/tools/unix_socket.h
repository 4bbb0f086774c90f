// Unix sockets by their path, and a file descriptor that comes over one. What fails is -1, with errno.
#pragma once

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace unix_socket {

// A stream socket, and its address.
inline int open_at(const char* path, sockaddr_un& address) {
  address = {};
  address.sun_family = AF_UNIX;
  if (strlen(path) >= sizeof address.sun_path) return errno = ENAMETOOLONG, -1;
  strcpy(address.sun_path, path);
  return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

inline int connect_to(const char* path) {
  sockaddr_un address;
  const int fd = open_at(path, address);
  if (fd < 0) return -1;
  return connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? fd : -1;
}

inline int listen_at(const char* path) {
  sockaddr_un address;
  const int fd = open_at(path, address);
  if (fd < 0 || bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return -1;
  return listen(fd, 8) == 0 ? fd : -1;
}

inline int accept_from(int listener) {
  return accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
}

// The one that the next message carries. EBADMSG: it carries none.
inline int receive_fd(int socket) {
  char text[4096];
  iovec data{text, sizeof text};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const ssize_t size = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (size < 0) return -1;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (size == 0 || !header || header->cmsg_type != SCM_RIGHTS) return errno = EBADMSG, -1;
  int fd = -1;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

}  // namespace unix_socket
