#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "agent/wire/wire.h"

namespace husk::wire {
namespace {

constexpr size_t kBuffer = 64u << 10;

struct Pump {
  UniqueFd device, socket, stop;
  std::function<void()> on_end;
  std::atomic<bool> ended{false};

  void end() {
    if (ended.exchange(true)) return;
    uint64_t one = 1;
    (void)!write(stop.get(), &one, sizeof one);
    shutdown(socket.get(), SHUT_RDWR);
    if (on_end) on_end();
  }
};

// Waits for events on fd; false when the other direction has ended.
bool wait_for(const Pump& pump, int fd, short events) {
  pollfd fds[] = {{fd, events, 0}, {pump.stop.get(), POLLIN, 0}};
  while (poll(fds, 2, -1) < 0)
    if (errno != EINTR) return false;
  return fds[1].revents == 0;
}

// A virtio port takes 32 KiB at most in one write, and nothing while the host's queue is full.
bool write_through(const Pump& pump, int fd, bool is_socket, const char* data, size_t size) {
  while (size > 0) {
    ssize_t n = is_socket ? send(fd, data, size, MSG_NOSIGNAL) : write(fd, data, size);
    if (n >= 0) {
      data += n;
      size -= static_cast<size_t>(n);
    } else if (errno == EAGAIN) {
      if (!wait_for(pump, fd, POLLOUT)) return false;
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

void copy(const Pump& pump, int from, int to, bool to_socket) {
  std::vector<char> buffer(kBuffer);
  while (wait_for(pump, from, POLLIN)) {
    ssize_t n = read(from, buffer.data(), buffer.size());
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n <= 0 || !write_through(pump, to, to_socket, buffer.data(), static_cast<size_t>(n))) return;
  }
}

}  // namespace

UniqueFd pump_device(UniqueFd device, std::function<void()> on_end) {
  auto [ours, theirs] = socket_pair(SOCK_STREAM);
  auto pump = std::make_shared<Pump>();
  pump->device = std::move(device);
  pump->socket = std::move(ours);
  pump->stop = UniqueFd(check(eventfd(0, EFD_CLOEXEC), "eventfd"));
  pump->on_end = std::move(on_end);
  std::thread([pump] {
    copy(*pump, pump->device.get(), pump->socket.get(), true);
    pump->end();
  }).detach();
  std::thread([pump] {
    copy(*pump, pump->socket.get(), pump->device.get(), false);
    pump->end();
  }).detach();
  return std::move(theirs);
}

}  // namespace husk::wire
