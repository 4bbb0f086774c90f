#include "libcontainer/linux/hooks.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "libcontainer/base/error.h"
#include "libcontainer/base/process.h"

namespace husk {
namespace {

using Clock = std::chrono::steady_clock;
constexpr size_t kKeptOutput = 1024;

std::vector<char*> c_strings(const std::vector<std::string>& in) {
  std::vector<char*> out;
  for (const std::string& s : in) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

[[noreturn]] void become_hook(const spec::Hook& hook, int in, int out, int report) {
  std::vector<std::string> args = hook.args;
  if (args.empty()) args.push_back(hook.path);
  dup2(in, 0);
  dup2(out, 1);
  dup2(out, 2);
  execve(hook.path.c_str(), c_strings(args).data(), c_strings(hook.env).data());
  int err = errno;
  (void)!write(report, &err, sizeof err);
  _exit(127);
}

// Feeds stdin and reads output until the hook ends or the deadline has passed; false in the latter case.
bool serve(const Child& child, UniqueFd in, UniqueFd out, std::string_view state, std::string& output,
           Clock::time_point deadline, bool has_deadline) {
  for (bool ended = false;;) {
    // What a process that the hook left behind goes on saying is not waited for.
    if (ended && output.size() >= kKeptOutput) return true;
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (has_deadline && left <= 0 && !ended) return false;
    pollfd fds[] = {{child.pidfd.get(), POLLIN, 0}, {out.get(), POLLIN, 0}, {in.get(), POLLOUT, 0}};
    int n = poll(fds, 3, ended ? 0 : has_deadline ? static_cast<int>(left) : -1);
    if (n < 0 && errno != EINTR) throw_errno("poll");
    if (fds[2].revents) {
      ssize_t wrote = write(in.get(), state.data(), state.size());
      if (wrote > 0) state.remove_prefix(static_cast<size_t>(wrote));
      if (state.empty() || (wrote < 0 && errno != EAGAIN)) in.reset();
    }
    if (fds[1].revents) {
      char buf[4096];
      ssize_t got = read(out.get(), buf, sizeof buf);
      if (got <= 0)
        out.reset();
      else if (output.size() < kKeptOutput)
        output.append(buf, static_cast<size_t>(got));
      continue;
    }
    if (ended) return true;
    ended = fds[0].revents != 0;
  }
}

// By the oldest call that there is for both: a container's filter may refuse clone3 and pidfd_open.
Child fork_with_pidfd() {
  int pidfd = -1;
  Child child;
  child.pid = static_cast<pid_t>(
      check(syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, nullptr, &pidfd, nullptr, nullptr), "clone"));
  if (child.pid > 0) child.pidfd = UniqueFd(pidfd);
  return child;
}

// "signal: bad system call", in the words that Go has for it.
std::string signal_text(int number) {
  const char* name = strsignal(number);
  std::string text = name ? name : std::to_string(number);
  text[0] = static_cast<char>(tolower(static_cast<unsigned char>(text[0])));
  return "signal: " + text;
}

void run_hook(const spec::Hook& hook, const std::string& state) {
  auto [in_read, in_write] = make_pipe();
  auto [out_read, out_write] = make_pipe();
  auto [report_read, report_write] = make_pipe();
  set_nonblocking(in_write.get(), true);
  Child child = fork_with_pidfd();
  if (child.pid == 0) become_hook(hook, in_read.get(), out_write.get(), report_write.get());
  in_read.reset();
  out_write.reset();
  report_write.reset();
  int err = 0;
  if (read(report_read.get(), &err, sizeof err) == static_cast<ssize_t>(sizeof err)) {
    kill_and_reap(child);
    throw_errno("exec", err);
  }
  std::string output;
  auto deadline = Clock::now() + std::chrono::seconds(hook.timeout.value_or(0));
  if (!serve(child, std::move(in_write), std::move(out_read), state, output, deadline,
             hook.timeout.has_value())) {
    kill_and_reap(child);
    throw Error(ErrorKind::kTimeout, "no end after " + std::to_string(*hook.timeout) + " s", ETIMEDOUT);
  }
  ExitStatus end = wait_child(child, std::chrono::milliseconds(-1));
  if (end.code == 0 && end.signal == 0) return;
  std::string how = end.signal ? signal_text(end.signal) : "exit status " + std::to_string(end.code);
  throw Error(ErrorKind::kInternal, how + ", output: " + printable(output, kKeptOutput));
}

}  // namespace

void run_hooks(const std::vector<spec::Hook>& hooks, const std::string& state) {
  auto old = signal(SIGPIPE, SIG_IGN);  // a hook that does not read its state is no error
  for (size_t i = 0; i < hooks.size(); ++i)
    with_context("error running hook #" + std::to_string(i) + " " + printable(hooks[i].path),
                 [&] { run_hook(hooks[i], state); });
  signal(SIGPIPE, old);
}

}  // namespace husk
