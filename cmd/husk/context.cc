#include "cmd/husk/context.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>

#include "libcontainer/base/fd.h"
#include "spec/id.h"

namespace husk::cmd {

Backend& Context::new_backend() {
  if (!new_backend_) new_backend_ = choose_backend(globals_);
  return *new_backend_;
}

Backend& Context::backend_of(const std::string& id) {
  spec::validate_id(id);  // it becomes a path
  const bool vm = is_in_vm(store_.ref(id));
  std::unique_ptr<Backend>& backend = vm ? vm_backend_ : host_backend_;
  if (!backend) backend = make_backend(globals_, vm);
  return *backend;
}

void check_words(const char* command, const Args& words, size_t min, size_t max) {
  if (words.size() >= min && words.size() <= max) return;
  const std::string name = "\"" + std::string(command) + "\"";
  if (min == max)
    throw Error(ErrorKind::kInvalid, name + " requires exactly " + std::to_string(min) + " argument(s)");
  if (words.size() < min)
    throw Error(ErrorKind::kInvalid, name + " requires a minimum of " + std::to_string(min) + " argument(s)");
  throw Error(ErrorKind::kInvalid, name + " requires a maximum of " + std::to_string(max) + " argument(s)");
}

namespace {

// sd_listen_fds(3): meant for us only when LISTEN_PID is ours.
uint32_t listen_fds() {
  const char* pid = getenv("LISTEN_PID");
  const char* count = getenv("LISTEN_FDS");
  if (!pid || !count || atol(pid) != getpid()) return 0;
  const long n = atol(count);
  return n > 0 && n < 1024 ? static_cast<uint32_t>(n) : 0;
}

}  // namespace

std::vector<int> take_preserved_fds(uint32_t count, std::vector<std::string>& env) {
  const uint32_t activated = listen_fds();
  if (activated) {
    env.push_back("LISTEN_FDS=" + std::to_string(activated));
    env.push_back("LISTEN_PID=1");
  }
  if (count > 1024) throw Error(ErrorKind::kInvalid, "--preserve-fds: at most 1024");
  std::vector<int> fds;
  for (int fd = 3; fd < 3 + static_cast<int>(count + activated); ++fd) {
    // What husk has opened itself is close-on-exec, what it was given is not.
    const int flags = fcntl(fd, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC))
      throw Error(ErrorKind::kInvalid,
                  "--preserve-fds: file descriptor " + std::to_string(fd) + " is not open");
    fds.push_back(fd);
  }
  return fds;
}

void print(const std::string& text) {
  write_all(STDOUT_FILENO, text, "write to stdout");
}

}  // namespace husk::cmd
