#include "vm/sandbox/control_server.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/process.h"
#include "libcontainer/base/trace.h"
#include "vm/sandbox/pool_wait.h"
#include "vm/sandbox/sandbox.h"

namespace husk::vm {
namespace {

constexpr unsigned kMaxConnections = 128;

using Clock = std::chrono::steady_clock;

Json answer(Sandbox& sandbox, Message& message) {
  try {
    return sandbox.handle(message);
  } catch (const Error& e) {
    return error_to_json(e);
  } catch (const std::exception& e) {  // a member that a request lacks, no memory
    return error_to_json(Error(ErrorKind::kInternal, std::string("husk-sandbox: ") + e.what()));
  }
}

// No answer would say that the VM has ended: why one cannot be sent (it is too large) is told in its place.
// False: then, and where nobody is there to be told.
bool send_answer(int socket, const Json& reply) noexcept {
  try {
    try {
      send_message(socket, reply);
      return true;
    } catch (Error& e) {
      e.add_context("husk-sandbox, answering");
      send_message(socket, error_to_json(e));
      spdlog::debug("{}", e.what());
    }
  } catch (const std::exception& e) {  // no memory, too
    spdlog::debug("control connection: {}", e.what());
  }
  return false;
}

// For want of a thread. The request comes first: husk sends it when it has connected.
void refuse(int socket, const std::string& why) {
  spdlog::warn("a control connection is refused: {}", why);
  try {
    Message message;
    if (receive_message(socket, message, deadline::kPoolRequest))
      send_message(socket,
                   error_to_json(Error(ErrorKind::kInternal, "husk-sandbox, making a thread: " + why)));
  } catch (const std::exception& e) {
    spdlog::debug("control connection: {}", e.what());
  }
}

class Server {
 public:
  Server(Sandbox& sandbox, std::string first, UniqueFd folder, UniqueFd creator, UniqueFd signals,
         UniqueFd listener)
      : first_(std::move(first)),
        folder_(std::move(folder)),
        creator_(std::move(creator)),
        signals_(std::move(signals)),
        sandbox_(sandbox),
        listener_(std::move(listener)),
        freed_(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {}

  int run();

 private:
  void serve_creator();
  void serve_new_container(int socket, const std::string& id, std::atomic<bool>& answered);
  void serve_connection(UniqueFd socket);
  void accept_connection();
  int listen_again_in() const;
  void rest(int errnum);
  [[noreturn]] void abandon();

  const std::string first_;  // container
  UniqueFd folder_, creator_, signals_;
  Sandbox& sandbox_;
  UniqueFd listener_;
  std::atomic<bool> created_{false};
  std::atomic<unsigned> connections_{0};
  UniqueFd freed_;  // eventfd: a connection has ended while there were too many
  Clock::time_point deaf_until_;
  bool told_deaf_ = false;
};

// husk is gone before it had its answer (killed, say). QEMU and virtiofsd die with us, mounts and taps with
// them, and husk-shim when its socket ends; what is on disk is for `delete --force`.
void Server::abandon() {
  spdlog::error("the husk that created this container is gone: giving up");
  unlinkat(folder_.get(), kControlSocket, 0);
  _exit(1);
}

// Its mounts, then its create. What goes wrong, husk's own end included, undoes it. answered: husk may go.
void Server::serve_new_container(int socket, const std::string& id, std::atomic<bool>& answered) {
  try {
    Message message;
    while (!answered) {
      if (!receive_message(socket, message, std::chrono::milliseconds(-1)))
        throw Error(ErrorKind::kGuestDied, "the husk that wanted it is gone");
      Sandbox::Busy busy(sandbox_);
      Json reply = answer(sandbox_, message);
      const bool failed = reply.contains("error");
      if (failed) sandbox_.forsake(id);
      answered = failed || message.body.value("op", "") == "create";
      if (!send_answer(socket, reply))
        throw Error(ErrorKind::kGuestDied, "the husk that wanted it has no answer");
    }
  } catch (const std::exception& e) {
    spdlog::error("creating {}: {}", id, e.what());
    sandbox_.forsake(id);
  }
}

void Server::serve_creator() {
  trace::name_thread("creator");
  serve_new_container(creator_.get(), first_, created_);
  created_ = true;
  shutdown(creator_.get(), SHUT_RDWR);
}

void Server::serve_connection(UniqueFd socket) {
  trace::name_thread("request");
  try {
    Message message;
    if (receive_message(socket.get(), message, deadline::kControlRequest)) {
      std::atomic<bool> answered;
      {
        Sandbox::Busy busy(sandbox_);
        Json reply = answer(sandbox_, message);
        answered = reply.contains("error");
        send_answer(socket.get(), reply);  // one that joins and has none is given up below
      }
      if (message.body.value("op", "") == "join")
        serve_new_container(socket.get(), message.body.at("id"), answered);
    }
  } catch (const std::exception& e) {  // no memory, too
    spdlog::debug("control connection: {}", e.what());
  }
  socket.reset();
  uint64_t one = 1;
  if (connections_-- == kMaxConnections) (void)!write(freed_.get(), &one, sizeof one);
}

// The connection stays in the queue, and would wake us at once.
void Server::rest(int errnum) {
  if (errnum != EMFILE && errnum != ENFILE && errnum != ENOMEM && errnum != ENOBUFS) return;
  deaf_until_ = Clock::now() + deadline::kNoFds;
  if (!std::exchange(told_deaf_, true))
    spdlog::warn("control connections wait: accept: {}", std::generic_category().message(errnum));
}

// Milliseconds; -1: it listens.
int Server::listen_again_in() const {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deaf_until_ - Clock::now());
  return left.count() > 0 ? static_cast<int>(left.count()) : -1;
}

void Server::accept_connection() {
  const auto socket = std::make_shared<UniqueFd>(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!*socket) return rest(errno);
  ++connections_;
  try {
    std::thread([this, socket] { serve_connection(std::move(*socket)); }).detach();
  } catch (const std::exception& e) {
    --connections_;
    refuse(socket->get(), e.what());
  }
}

int Server::run() {
  std::thread creator_thread([this] { serve_creator(); });
  enum { kWake, kVmm, kSignals, kListener, kConsole, kCreator, kShare, kFreed, kCount };
  pollfd fds[kCount] = {{sandbox_.wake_fd(), POLLIN, 0},       {sandbox_.vmm_pidfd(), POLLIN, 0},
                        {signals_.get(), POLLIN, 0},           {listener_.get(), POLLIN, 0},
                        {sandbox_.console()->fd(), POLLIN, 0}, {creator_.get(), 0, 0},
                        {sandbox_.share_pidfd(), POLLIN, 0},   {freed_.get(), POLLIN, 0}};
  bool over = false;
  while (!over) {
    // Who comes when there are too many waits in the listener's queue.
    const int deaf = listen_again_in();
    fds[kListener].fd = connections_ < kMaxConnections && deaf < 0 ? listener_.get() : -1;
    if (poll(fds, kCount, deaf) < 0 && errno != EINTR) break;
    if (fds[kConsole].revents && !sandbox_.console()->pump()) fds[kConsole].fd = -1;
    if (fds[kCreator].revents) {
      if (!created_ && sandbox_.is_only(first_)) abandon();
      fds[kCreator].fd = -1;  // else its own thread sees it
    }
    uint64_t count;
    if (fds[kFreed].revents) (void)!read(freed_.get(), &count, sizeof count);
    if (fds[kListener].fd >= 0 && fds[kListener].revents) accept_connection();
    if (fds[kWake].revents) over = sandbox_.tend() || over;
    if (fds[kSignals].revents) over = true;
    if (fds[kShare].revents) {
      fds[kShare].fd = -1;
      sandbox_.share_died();
    }
    if (fds[kVmm].revents) {
      sandbox_.vmm_died();
      fds[kVmm].fd = -1;
      // While a create is under way its own error tells more: it ends us.
      over = created_.load() || over;
    }
  }
  unlinkat(folder_.get(), kControlSocket, 0);  // from here on: stopped
  shutdown(creator_.get(), SHUT_RD);  // a creator that is still busy with its hooks has asked too late
  sandbox_.end();
  creator_thread.join();
  return 0;
}

}  // namespace

int serve_sandbox(UniqueFd creator, UniqueFd listener, BootRequest boot) {
  try {
    UniqueFd folder = open_file(boot.folder, O_PATH | O_DIRECTORY);
    UniqueFd signals = make_signalfd({SIGTERM, SIGINT, SIGHUP});  // before there are threads
    Sandbox sandbox(boot);
    if (boot.waits && !wait_in_pool(sandbox, creator, listener.get(), signals.get(), boot)) {
      unlinkat(folder.get(), kControlSocket, 0);
      sandbox.end();
      _exit(0);
    }
    Server server(sandbox, boot.id, std::move(folder), dup_fd(creator.get()), std::move(signals),
                  std::move(listener));
    // Threads of connections may still be about: no destructor runs under them.
    _exit(server.run());
  } catch (const Error& e) {
    // The VM could not even be started: that is the answer to the creator's request.
    Message message;
    if (boot.waits || receive_message(creator.get(), message, deadline::kCreateReply))
      send_message(creator.get(), error_to_json(e));
    return 1;
  }
}

}  // namespace husk::vm
