#include "agent/guest/listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <mutex>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/message.h"
#include "libcontainer/linux/network_namespace.h"
#include "libcontainer/linux/port_redirect.h"

namespace husk::guest {
namespace {

constexpr const char* kSockets = "/run/husk/socket";
constexpr const char* kCgroups = "/sys/fs/cgroup";

// Of the files: a container may have another listener at the same place before the last one has gone.
std::mutex files;

ino_t inode_of(const std::string& path) {
  struct stat st {};
  check(lstat(path.c_str(), &st), "stat " + path);
  return st.st_ino;
}

UniqueFd bind_port(const LoopbackPort& port) {
  const int type = port.datagrams ? SOCK_DGRAM : SOCK_STREAM;
  UniqueFd socket(check(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(port.address);
  check(bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "bind");
  if (!port.datagrams) check(listen(socket.get(), SOMAXCONN), "listen");
  return socket;
}

std::vector<UniqueFd> redirect_to(int socket, const LoopbackPort& port) {
  PortRedirect redirect;
  redirect.address = port.address;
  redirect.port = port.port;
  redirect.protocol = port.datagrams ? IPPROTO_UDP : IPPROTO_TCP;
  socklen_t size = sizeof redirect.netns_cookie;
  check(getsockopt(socket, SOL_SOCKET, SO_NETNS_COOKIE, &redirect.netns_cookie, &size), "SO_NETNS_COOKIE");
  sockaddr_in own{};
  size = sizeof own;
  check(getsockname(socket, reinterpret_cast<sockaddr*>(&own), &size), "getsockname");
  redirect.to = ntohs(own.sin_port);
  return redirect_port(kCgroups, redirect);
}

}  // namespace

std::string socket_path(const std::string& name) {
  return path_join(kSockets, name);
}

Listener::Listener(const SocketFile& file) {
  const std::string name = std::to_string(file.index);
  const std::string folder = socket_path(file.container);
  std::lock_guard lock(files);
  make_dirs(kSockets, 0755);
  make_dirs(folder, 0755);  // a container's own user namespace has to get through it
  UniqueFd dir = open_file(folder, O_PATH | O_DIRECTORY);
  unlinkat(dir.get(), name.c_str(), 0);
  socket_ = listen_at(dir.get(), name, SOCK_STREAM | SOCK_NONBLOCK);
  path_ = path_join(folder, name);
  try {
    check(fchownat(dir.get(), name.c_str(), file.uid, file.gid, AT_SYMLINK_NOFOLLOW), "chown " + path_);
    check(fchmodat(dir.get(), name.c_str(), file.mode & 07777, 0), "chmod " + path_);
    inode_ = inode_of(path_);
  } catch (...) {
    unlink(path_.c_str());
    throw;
  }
}

Listener::Listener(const LoopbackPort& port, int netns) : datagrams_(port.datagrams) {
  if ((port.address >> IN_CLASSA_NSHIFT) != IN_LOOPBACKNET)
    throw Error(ErrorKind::kInvalid, "not an address of the loopback");
  const auto listen_there = [&] {
    socket_ = bind_port(port);
    redirections_ = redirect_to(socket_.get(), port);
  };
  if (netns < 0)
    listen_there();
  else
    in_network_namespace(netns, listen_there);
}

Listener::~Listener() {
  if (!socket_ || path_.empty()) return;
  std::lock_guard lock(files);
  struct stat st {};
  if (lstat(path_.c_str(), &st) == 0 && st.st_ino == inode_) unlink(path_.c_str());
  rmdir(dir_name(path_).c_str());  // the last one's
}

}  // namespace husk::guest
