#include "vm/sandbox/host_socket.h"

#include <grp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <exception>
#include <functional>
#include <thread>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/linux/network_namespace.h"

namespace husk::vm {
namespace {

// How soon a connect(2) that waits notices that nobody wants it any more.
constexpr timeval kConnectSlice{1, 0};

sockaddr_un address_of(int socket_file) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = "/proc/self/fd/" + std::to_string(socket_file);
  memcpy(address.sun_path, path.c_str(), path.size());
  return address;
}

UniqueFd connect_socket(int family, int type, const sockaddr* address, socklen_t size,
                        const std::atomic<bool>& stopped) {
  UniqueFd socket(check(::socket(family, type | SOCK_CLOEXEC, 0), "socket"));
  check(setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kConnectSlice, sizeof kConnectSlice),
        "SO_SNDTIMEO");
  const auto until = std::chrono::steady_clock::now() + deadline::kHostConnect;
  while (connect(socket.get(), address, size) != 0) {
    if (errno == EISCONN) break;
    const bool waits = errno == EAGAIN || errno == EINPROGRESS || errno == EALREADY || errno == EINTR;
    if (!waits || stopped || std::chrono::steady_clock::now() >= until) throw_errno("connect");
  }
  return socket;
}

// setresuid(2) and its kin are per thread to the kernel; only glibc's apply them to all.
void become(const Caller& caller) {
  check(syscall(SYS_setgroups, caller.groups.size(), caller.groups.data()), "setgroups");
  check(syscall(SYS_setresgid, caller.gid, caller.gid, caller.gid), "setresgid");
  check(syscall(SYS_setresuid, caller.uid, caller.uid, caller.uid), "setresuid");
}

template <typename F>
void in_own_thread(F&& f) {
  std::exception_ptr failure;
  std::thread([&] {
    try {
      f();
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
}

bool is_mapped(uint32_t id, const std::vector<spec::IdMapping>& mappings) {
  if (id == UINT32_MAX) return false;  // to setresuid(2): no change, and we are root
  return mappings.empty() || std::ranges::any_of(mappings, [&](const spec::IdMapping& mapping) {
           return id >= mapping.host_id && id - mapping.host_id < mapping.size;
         });
}

}  // namespace

bool takes_datagrams(int socket_file) {
  UniqueFd socket(check(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
  const sockaddr_un address = address_of(socket_file);
  return connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

void check_caller(const Caller& caller, const std::vector<spec::IdMapping>& uids,
                  const std::vector<spec::IdMapping>& gids) {
  const bool good = is_mapped(caller.uid, uids) && is_mapped(caller.gid, gids) &&
                    std::ranges::all_of(caller.groups, [&](gid_t gid) { return is_mapped(gid, gids); });
  if (!good)
    throw Error(ErrorKind::kPermission,
                "user " + std::to_string(caller.uid) + ", group " + std::to_string(caller.gid) +
                    ": not an id of the container",
                EPERM);
}

UniqueFd connect_as(int socket_file, const Caller& caller, const std::atomic<bool>& stopped) {
  UniqueFd socket;
  in_own_thread([&] {
    become(caller);
    const sockaddr_un address = address_of(socket_file);
    socket = connect_socket(AF_UNIX, SOCK_STREAM, reinterpret_cast<const sockaddr*>(&address), sizeof address,
                            stopped);
  });
  return socket;
}

UniqueFd connect_in(int netns, int type, const sockaddr_in& address, const std::atomic<bool>& stopped) {
  UniqueFd socket;
  in_network_namespace(netns, [&] {
    socket =
        connect_socket(AF_INET, type, reinterpret_cast<const sockaddr*>(&address), sizeof address, stopped);
  });
  return socket;
}

}  // namespace husk::vm
