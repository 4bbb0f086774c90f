#include "libcontainer/init/control.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "libcontainer/base/message.h"
#include "libcontainer/base/trace.h"
#include "spec/binary.h"

namespace husk {
namespace {

constexpr std::chrono::milliseconds kForEver{-1};
// A message is one piece of the kernel's memory, which may have no larger one left.
constexpr size_t kMaxInMessage = 32u << 10;
constexpr std::string_view kInMemfd = "m";  // in place of a request, which is never that short

// By pread: the fd's position is shared with whoever else holds it.
std::string read_memfd(int fd) {
  struct stat st;
  check(fstat(fd, &st), "stat of the request");
  std::string text(static_cast<size_t>(st.st_size), 0);
  size_t done = 0;
  while (done < text.size()) {
    ssize_t n = pread(fd, text.data() + done, text.size() - done, static_cast<off_t>(done));
    if (check(n, "reading the request") == 0) break;
    done += static_cast<size_t>(n);
  }
  return text;
}

// Under the pid that our parent knows us by; those of stage 1, too: it is one birth.
std::string take_trace(pid_t pid) {
  std::vector<trace::Event> events = trace::take();
  for (trace::Event& event : events) event.pid = event.tid = pid;
  return trace::events_to_json(events).dump();
}

// False where it is another word, or none.
bool hear(int socket, Word::Kind kind) {
  Word word;
  return receive_word(socket, word, kForEver) && word.kind == kind;
}

}  // namespace

const spec::Linux& InitRequest::linux_() const {
  static const spec::Linux kNone;
  return config.linux_ ? *config.linux_ : kNone;
}

void send_request(int socket, const RequestHead& head, const spec::Config& config, std::vector<int> fds) {
  spec::BinaryWriter writer;
  writer("head", head);
  writer("config", config);
  const std::string bytes = writer.take();
  if (bytes.size() <= kMaxInMessage) return send_packet(socket, bytes, fds);
  const UniqueFd memfd = write_memfd(bytes);
  fds.insert(fds.begin(), memfd.get());
  send_packet(socket, kInMemfd, fds);
}

bool receive_request(InitRequest& r) {
  // Beyond those that are preserved, which are there already.
  if (!r.control)
    r.control =
        UniqueFd(check(fcntl(kControlFd, F_DUPFD_CLOEXEC, kFirstPreservedFd), "dup of the control socket"));
  send_word(r.control.get(), Word::kWaiting);
  Packet packet;
  if (!receive_packet(r.control.get(), packet, kForEver)) return false;
  size_t fd = 0;
  if (packet.bytes == kInMemfd) packet.bytes = read_memfd(packet.fds.at(fd++).get());
  static_cast<RequestHead&>(r) = {};
  spec::BinaryReader reader(packet.bytes);
  reader("head", static_cast<RequestHead&>(r));
  if (r.trace) trace::to_memory("husk-init");
  trace::Span span("request");
  reader("config", r.config);
  reader.end();
  if (r.is_birth) return true;
  // Only now: fd 3 kept what came with the message from landing between the preserved ones.
  for (int i = 0; i < r.preserved; ++i)
    check(dup2(kFirstPreservedFd + i, kControlFd + i), "dup of a preserved fd");
  close(kControlFd + r.preserved);
  if (r.has_filter) r.seccomp = read_memfd(packet.fds.at(fd++).get());
  if (r.has_target) r.target = std::move(packet.fds.at(fd++));
  if (r.has_gate) r.gate = std::move(packet.fds.at(fd++));
  for (int stream = 0; stream < 3; ++stream)
    if (r.has_stream[stream]) check(dup2(packet.fds.at(fd++).get(), stream), "dup of a standard stream");
  if (!r.config.process) throw Error(ErrorKind::kInvalid, "config has no process");
  return true;
}

void send_word(int socket, const Word& word, const std::vector<int>& fds) {
  send_packet(socket, spec::to_binary(word), fds);
}

bool receive_word(int socket, Word& out, std::chrono::milliseconds timeout) {
  Packet packet;
  if (!receive_packet(socket, packet, timeout)) return false;
  out = spec::from_binary<Word>(packet.bytes);
  out.fds = std::move(packet.fds);
  return true;
}

void throw_word(const Word& word) {
  if (word.kind == Word::kError) throw Error(kind_from_name(word.error_kind), word.error, word.error_errno);
  throw Error(ErrorKind::kInternal, "husk-init sent an unknown message", EPROTO);
}

void send_pid(const InitRequest& r, pid_t pid, int pidfd) {
  Word word = Word::kPid;
  word.pid = pid;
  send_word(r.control.get(), word, {pidfd});
}

void send_ready(const InitRequest& r, int console) {
  Word word = Word::kReady;
  word.has_console = console >= 0;
  word.has_filter = static_cast<bool>(r.new_seccomp);
  word.warnings = r.warnings;
  std::vector<int> fds;
  if (console >= 0) fds.push_back(console);
  if (r.new_seccomp) fds.push_back(r.new_seccomp.get());
  if (r.trace) word.trace = take_trace(r.pid);
  send_word(r.control.get(), word, fds);
}

void send_trace(const InitRequest& r) {
  if (!r.trace) return;
  Word word = Word::kTrace;
  word.trace = take_trace(r.pid);
  send_word(r.control.get(), word);
}

void hold_for_hooks(const InitRequest& r) {
  if (!r.hold) return;
  send_word(r.control.get(), Word::kRuntimeCreated);
  if (!hear(r.control.get(), Word::kGoOn)) _exit(1);
}

void wait_for_start(InitRequest& r) {
  while (r.gate) {
    UniqueFd peer(accept4(r.gate.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer && errno != EINTR && errno != ECONNABORTED) throw_errno("accept at the gate");
    // Whoever asks for the state connects, too, and goes without a word.
    if (!peer || !hear(peer.get(), Word::kStart)) continue;
    r.control = std::move(peer);
    r.gate.reset();  // before whoever opened it hears of exec's success: it is no longer at the gate then
    return;
  }
  if (!hear(r.control.get(), Word::kStart)) _exit(1);
}

void send_error(const InitRequest& r, const Error& error) noexcept {
  try {
    Word word = Word::kError;
    word.error_kind = kind_name(error.kind());
    word.error = error.message().c_str();  // a NUL byte ends it
    word.error_errno = error.errnum();
    send_word(r.control.get(), word);
  } catch (const Error&) {
    // Nobody listens any more.
  }
}

}  // namespace husk
