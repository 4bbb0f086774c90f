#include "agent/guest/process.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "libcontainer/base/error.h"

namespace husk::guest {
void set_window_size(int terminal, const WindowSize& size) {
  winsize out{};
  out.ws_row = static_cast<unsigned short>(std::min(size.rows, 65535u));
  out.ws_col = static_cast<unsigned short>(std::min(size.columns, 65535u));
  ioctl(terminal, TIOCSWINSZ, &out);
}

Process::Process(std::string id, Streams streams)
    : id_(std::move(id)),
      streams_(streams),
      exit_event_(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {}

std::shared_ptr<Process> Process::create(Reaper& reaper, std::string id, Streams streams, const Make& make) {
  std::shared_ptr<Process> process(new Process(std::move(id), streams));
  UniqueFd in, out, err;  // the process's ends; ours must see its end, so these go when it has them
  if (streams != Streams::kTerminal) {
    Stdio& ours = process->stdio_;
    std::tie(in, ours.in) = make_pipe();
    std::tie(ours.out, out) = make_pipe();
    if (streams == Streams::kPipes)
      std::tie(ours.err, err) = make_pipe();
    else
      err = dup_fd(out.get());
  }
  Reaper::Hold hold(reaper);
  process->init_ = make(StdioFds{in.get(), out.get(), err.get()});
  process->stdio_.console = process->init_->take_console();
  if (process->stdio_.console) process->console_ = dup_fd(process->stdio_.console.get());
  process->pid_ = process->init_->pid();
  process->pidfd_ = dup_fd(process->init_->pidfd());
  for (const UniqueFd* fd :
       {&process->stdio_.in, &process->stdio_.out, &process->stdio_.err, &process->stdio_.console})
    if (*fd) set_nonblocking(fd->get(), true);
  reaper.watch(process->pid_, [process](ExitStatus status) { process->set_exit(status); });
  return process;
}

void Process::set_exit(ExitStatus status) {
  std::lock_guard lock(mutex_);
  exit_ = status;
  changed_.notify_all();
  uint64_t one = 1;
  (void)!write(exit_event_.get(), &one, sizeof one);
}

void Process::start(const std::optional<WindowSize>& size) {
  std::lock_guard start_lock(start_mutex_);
  UniqueFd console;
  {
    std::lock_guard lock(mutex_);
    if (started_) throw Error(ErrorKind::kWrongState, "the process was started already");
    // Before the gate opens: a process that is running must never look as if it was only created.
    started_ = true;
    console = std::move(console_);
  }
  // Without the lock: who has the terminal open in the container can keep us here.
  if (console && size) set_window_size(console.get(), *size);
  console.reset();
  init_->start();
  init_->take_child();  // the reaper's now
  init_.reset();
}

void Process::hang_up() {
  UniqueFd console;  // closed without the lock
  std::lock_guard lock(mutex_);
  console = std::move(console_);
}

bool Process::started() const {
  std::lock_guard lock(mutex_);
  return started_;
}

bool Process::ended() const {
  std::lock_guard lock(mutex_);
  return exit_.has_value();
}

void Process::signal(int signal) {
  if (syscall(SYS_pidfd_send_signal, pidfd_.get(), signal, nullptr, 0) == 0) return;
  if (errno == ESRCH) throw Error(ErrorKind::kWrongState, "process already finished", ESRCH);
  throw_errno("signal " + std::to_string(signal));
}

void Process::kill() noexcept {
  syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
}

std::optional<ExitStatus> Process::wait(std::chrono::milliseconds timeout) const {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [this] { return exit_.has_value(); });
  return exit_;
}

Stdio Process::take_stdio() {
  std::lock_guard lock(mutex_);
  if (attached_) throw Error(ErrorKind::kWrongState, "somebody is attached to the process already");
  attached_ = true;
  return std::move(stdio_);
}

void Process::give_stdio_back(Stdio stdio) {
  std::lock_guard lock(mutex_);
  stdio_ = std::move(stdio);
  attached_ = false;
}

}  // namespace husk::guest
