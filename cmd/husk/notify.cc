#include "cmd/husk/notify.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <sstream>

#include "libcontainer/base/file.h"
#include "libcontainer/base/log.h"
#include "libcontainer/base/process.h"
#include "libcontainer/base/root.h"

namespace husk::cmd {
namespace {

constexpr const char* kFolder = "notify";  // in the container's own
constexpr const char* kSocket = "notify.sock";
constexpr const char* kInside = "/run/notify";
constexpr size_t kMaxNotice = 4096;

const char* service_manager() {
  const char* path = getenv("NOTIFY_SOCKET");
  return path && *path ? path : nullptr;
}

sockaddr_un address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    throw Error(ErrorKind::kInvalid, printable(path) + ": too long for a socket's path", ENAMETOOLONG);
  memcpy(address.sun_path, path.data(), path.size());
  return address;
}

void tell_service_manager(const std::string& text) {
  const std::string path = service_manager();
  sockaddr_un address = address_of(path);
  socklen_t size = sizeof address;
  if (path[0] == '@') {  // an abstract one, whose name ends where the address does
    address.sun_path[0] = 0;
    size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  }
  UniqueFd s(check(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
  check(sendto(s.get(), text.data(), text.size(), MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), size),
        "sending to NOTIFY_SOCKET " + printable(path));
}

// By way of /proc: ROOT may be longer than a socket's path can be.
UniqueFd bind_in(const std::string& folder) {
  const UniqueFd dir = open_file(folder, O_PATH | O_DIRECTORY);
  UniqueFd s(check(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket"));
  const std::string path = fd_path(dir.get()) + "/" + kSocket;
  const sockaddr_un address = address_of(path);
  check(bind(s.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind " + folder);
  check(chmod(path.c_str(), 0777), "chmod of the notify socket");  // whatever user the container has
  return s;
}

}  // namespace

void offer_notify_socket(Context& context, Bundle& bundle, Container::CreateOptions& options) {
  if (!service_manager()) return;
  if (!context.new_backend().on_this_kernel())
    return spdlog::warn("NOTIFY_SOCKET: a container in a VM cannot reach the host's socket, ignored");
  spec::Mount mount;
  mount.destination = kInside;
  mount.type = "bind";
  mount.source = path_join(context.store().ref(options.id).folder, kFolder);
  mount.options = {"bind", "nosuid", "noexec", "nodev", "ro"};
  bundle.config.mounts.push_back(std::move(mount));
  bundle.config.process->env.push_back(std::string("NOTIFY_SOCKET=") + kInside + "/" + kSocket);
  options.folders.push_back(kFolder);
}

Notify::Notify(Context& context, const std::string& id) {
  if (!service_manager()) return;
  const std::string folder = path_join(context.store().ref(id).folder, kFolder);
  if (path_exists(folder)) socket_ = bind_in(folder);
}

void Notify::wait(pid_t pid) {
  if (!socket_) return;
  const UniqueFd init = open_pidfd(pid);
  while (socket_) {
    pollfd polled[] = {{socket_.get(), POLLIN, 0}, {init.get(), POLLIN, 0}};
    if (poll(polled, 2, -1) < 0 && errno != EINTR) throw_errno("poll");
    if (polled[0].revents)
      hand_on(pid);
    else if (polled[1].revents)
      return;
  }
}

void Notify::hand_on(pid_t main_pid) {
  char buffer[kMaxNotice];
  const ssize_t n = recv(socket_.get(), buffer, sizeof buffer, 0);
  if (n <= 0) return;
  std::istringstream lines(std::string(buffer, static_cast<size_t>(n)));
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("READY=")) continue;
    try {
      tell_service_manager(line + "\n" + (main_pid ? "MAINPID=" + std::to_string(main_pid) + "\n" : ""));
    } catch (const Error& e) {
      spdlog::warn("{}", e.what());
    }
    socket_.reset();
    return;
  }
}

}  // namespace husk::cmd
