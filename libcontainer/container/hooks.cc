#include "libcontainer/container/hooks.h"

#include <linux/close_range.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/log.h"
#include "libcontainer/base/process.h"

namespace husk {
namespace {

constexpr size_t kStderrTail = 4096;

// Files in memory for stdin and stderr: neither side can block on a full pipe, and what a hook leaves running
// in the background may keep its stderr.
UniqueFd memory_file(const char* name) {
  return UniqueFd(check(memfd_create(name, MFD_CLOEXEC), "memfd_create"));
}

std::string last_line(int fd) {
  const off_t size = lseek(fd, 0, SEEK_END);
  char buf[kStderrTail];
  const ssize_t n = pread(fd, buf, sizeof buf, std::max<off_t>(0, size - static_cast<off_t>(sizeof buf)));
  std::string_view text(buf, static_cast<size_t>(std::max<ssize_t>(n, 0)));
  const size_t end = text.find_last_not_of(" \t\r\n");
  if (end == text.npos) return {};
  text = text.substr(0, end + 1);
  return printable(text.substr(text.find_last_of('\n') + 1));  // npos + 1 is 0
}

// In the child. spawn() takes argv[0] for the program's path; a hook's argv[0] is its own affair (Docker's
// libnetwork-setkey is /proc/PID/exe, and looks at its argv[0]).
void exec_hook(const spec::Hook& hook, int in, int err) {
  const UniqueFd null = open_file("/dev/null", O_WRONLY);
  check(dup2(in, 0), "dup2");
  check(dup2(null.get(), 1), "dup2");
  check(dup2(err, 2), "dup2");
  // What the engine passed to us (fd 3 …) is not the hook's.
  close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
  std::vector<char*> argv, env;
  for (const std::string& arg : hook.args) argv.push_back(const_cast<char*>(arg.c_str()));
  if (argv.empty()) argv.push_back(const_cast<char*>(hook.path.c_str()));
  for (const std::string& variable : hook.env) env.push_back(const_cast<char*>(variable.c_str()));
  argv.push_back(nullptr);
  env.push_back(nullptr);
  execve(hook.path.c_str(), argv.data(), env.data());
  throw_errno("exec");
}

ExitStatus wait_hook(Child& child, const spec::Hook& hook) {
  const auto timeout = hook.timeout ? std::chrono::milliseconds(std::chrono::seconds(*hook.timeout))
                                    : std::chrono::milliseconds(-1);
  try {
    return wait_child(child, timeout);
  } catch (const Error& e) {
    kill_and_reap(child);
    if (e.kind() == ErrorKind::kTimeout && hook.timeout)
      throw Error(ErrorKind::kTimeout,
                  "hook ran past its timeout of " + std::to_string(*hook.timeout) + " s");
    throw;
  }
}

void run_hook(const spec::Hook& hook, const std::string& state_json, const std::string& cwd) {
  UniqueFd in = memory_file("state"), err = memory_file("stderr");
  write_all(in.get(), state_json, "write the state for the hook");
  lseek(in.get(), 0, SEEK_SET);

  SpawnOptions options;
  options.argv = {hook.path};
  options.die_with_parent = true;
  if (path_exists(cwd)) options.cwd = cwd;
  options.before_exec = [&] { exec_hook(hook, in.get(), err.get()); };
  Child child = spawn(options);
  const ExitStatus status = wait_hook(child, hook);
  if (status.code == 0 && status.signal == 0) return;

  std::string message = status.signal ? "killed by signal " + std::to_string(status.signal)
                                      : "exit status " + std::to_string(status.code);
  if (const std::string line = last_line(err.get()); !line.empty()) message += ": " + line;
  throw Error(ErrorKind::kInternal, message);
}

void run_numbered(const char* name, const std::vector<spec::Hook>& hooks, size_t i,
                  const std::string& state_json, const std::string& cwd) {
  with_context(
      "running " + std::string(name) + " hook #" + std::to_string(i) + " (" + printable(hooks[i].path) + ")",
      [&] { run_hook(hooks[i], state_json, cwd); });
}

}  // namespace

void run_hooks(const char* name, const std::vector<spec::Hook>& hooks, const std::string& state_json,
               const std::string& cwd) {
  for (size_t i = 0; i < hooks.size(); ++i) run_numbered(name, hooks, i, state_json, cwd);
}

void run_hooks_warn_only(const char* name, const std::vector<spec::Hook>& hooks,
                         const std::string& state_json, const std::string& cwd) {
  for (size_t i = 0; i < hooks.size(); ++i) {
    try {
      run_numbered(name, hooks, i, state_json, cwd);
    } catch (const Error& e) {
      spdlog::warn("{}", e.what());
    }
  }
}

}  // namespace husk
