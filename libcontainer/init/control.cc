#include "libcontainer/init/control.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "libcontainer/base/trace.h"
#include "spec/codec.h"

namespace husk {
namespace {

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
Json take_trace(pid_t pid) {
  std::vector<trace::Event> events = trace::take();
  for (trace::Event& event : events) event.pid = event.tid = pid;
  return trace::events_to_json(events);
}

}  // namespace

UniqueFd write_memfd(const std::string& data) {
  UniqueFd fd(check(memfd_create("husk", MFD_CLOEXEC), "memfd_create"));
  write_all(fd.get(), data, "writing a memfd");
  return fd;
}

const spec::Linux& InitRequest::linux_() const {
  static const spec::Linux kNone;
  return config.linux_ ? *config.linux_ : kNone;
}

bool receive_request(InitRequest& r) {
  // High enough to be out of the way of anything a container may ask to have preserved.
  r.control = UniqueFd(check(fcntl(kControlFd, F_DUPFD_CLOEXEC, 200), "dup of the control socket"));
  send_message(r.control.get(), {{"waiting", true}});
  Message m;
  if (!receive_message(r.control.get(), m, std::chrono::milliseconds(-1))) return false;
  if ((r.trace = m.body.value("trace", false))) trace::to_memory("husk-init");
  trace::Span span("request");
  r.preserved = m.body.at("preserved").get<int>();
  // Only now: fd 3 kept what came with the message from landing between the preserved ones.
  for (int i = 0; i < r.preserved; ++i)
    check(dup2(kFirstPreservedFd + i, kControlFd + i), "dup of a preserved fd");
  close(kControlFd + r.preserved);
  r.is_exec = m.body.value("exec", false);
  r.id = m.body.value("id", "");
  r.rootfs = m.body.value("rootfs", "");
  r.bundle = m.body.value("bundle", "");
  r.cgroup = m.body.value("cgroup", "");
  r.host_cgroup = m.body.value("host_cgroup", "");
  r.sub_cgroups = m.body.value("sub_cgroups", std::vector<std::string>());
  r.hold = m.body.value("hold", false);
  r.no_pivot = m.body.value("no_pivot", false);
  r.no_new_keyring = m.body.value("no_new_keyring", false);
  r.join_flags = m.body.value("join_flags", 0);
  r.init_pid = m.body.value("init_pid", 0);
  size_t fd = 0;
  r.config = spec::decode_config(read_memfd(m.fds.at(fd++).get()));
  if (m.body.value("seccomp", false)) r.seccomp = read_memfd(m.fds.at(fd++).get());
  if (m.body.value("target", false)) r.target = std::move(m.fds.at(fd++));
  if (m.body.value("gate", false)) r.gate = std::move(m.fds.at(fd++));
  for (int stream : m.body.at("streams").get<std::vector<int>>())
    check(dup2(m.fds.at(fd++).get(), stream), "dup of a standard stream");
  if (!r.config.process) throw Error(ErrorKind::kInvalid, "config has no process");
  return true;
}

void send_pid(const InitRequest& r, pid_t pid, int pidfd) {
  send_message(r.control.get(), {{"pid", pid}}, {pidfd});
}

void send_ready(const InitRequest& r, int console) {
  Json body = {{"ready", true},
               {"console", console >= 0},
               {"seccomp", static_cast<bool>(r.new_seccomp)},
               {"warnings", r.warnings}};
  std::vector<int> fds;
  if (console >= 0) fds.push_back(console);
  if (r.new_seccomp) fds.push_back(r.new_seccomp.get());
  if (r.trace) body["trace"] = take_trace(r.pid);
  send_message(r.control.get(), body, fds);
}

void send_trace(const InitRequest& r) {
  if (r.trace) send_message(r.control.get(), {{"trace", take_trace(r.pid)}});
}

void hold_for_hooks(const InitRequest& r) {
  if (!r.hold) return;
  send_message(r.control.get(), {{"runtime_created", true}});
  Message m;
  if (!receive_message(r.control.get(), m, std::chrono::milliseconds(-1)) || !m.body.contains("go_on"))
    _exit(1);
}

void wait_for_start(InitRequest& r) {
  Message m;
  while (r.gate) {
    UniqueFd peer(accept4(r.gate.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!peer && errno != EINTR && errno != ECONNABORTED) throw_errno("accept at the gate");
    // Whoever asks for the state connects, too, and goes without a word.
    if (!peer || !receive_message(peer.get(), m, std::chrono::milliseconds(-1)) || !m.body.contains("start"))
      continue;
    r.control = std::move(peer);
    return;
  }
  if (!receive_message(r.control.get(), m, std::chrono::milliseconds(-1)) || !m.body.contains("start"))
    _exit(1);
}

void send_error(const InitRequest& r, const Error& error) noexcept {
  try {
    send_message(r.control.get(), error_to_json(error));
  } catch (const Error&) {
    // Nobody listens any more.
  }
}

}  // namespace husk
