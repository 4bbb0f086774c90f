#include "libcontainer/init/init_program.h"

#include <sys/resource.h>
#include <sys/socket.h>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/root.h"
#include "libcontainer/init/control.h"
#include "libcontainer/init/program_copy.h"

namespace husk {

InitProgram::Waiting InitProgram::spawn_waiting(const std::vector<int>& preserve_fds,
                                                bool die_with_thread) const {
  auto [ours, theirs] = socket_pair(SOCK_SEQPACKET);
  const int beyond = kFirstPreservedFd + static_cast<int>(preserve_fds.size());
  UniqueFd copy = options_.sealed ? open_program_copy(path_, beyond) : UniqueFd();
  SpawnOptions o;
  o.argv = {copy ? fd_path(copy.get()) : path_, kInitVerb};
  o.die_with_parent = die_with_thread;
  o.fds.emplace_back(theirs.get(), kControlFd);
  int number = kFirstPreservedFd;
  for (int fd : preserve_fds) o.fds.emplace_back(fd, number++);
  return {spawn(o), std::move(ours)};
}

std::optional<InitProgram::Waiting> InitProgram::take_spare() {
  std::lock_guard lock(mutex_);
  while (!spares_.empty()) {
    Waiting spare = std::move(spares_.back());
    spares_.pop_back();
    if (!wait_pidfd(spare.child.pidfd.get(), std::chrono::milliseconds(0))) return spare;
  }
  return {};
}

InitProgram::Waiting InitProgram::take(const std::vector<int>& preserve_fds) {
  std::optional<Waiting> taken;
  if (preserve_fds.empty()) taken = take_spare();
  if (!taken) taken = spawn_waiting(preserve_fds, true);
  if (options_.own_priority) setpriority(PRIO_PROCESS, static_cast<id_t>(taken->child.pid), 0);
  return std::move(*taken);
}

std::optional<InitProgram::Waiting> InitProgram::take_newborn(const std::string& cgroup) {
  std::lock_guard lock(mutex_);
  auto found = newborns_.extract(cgroup);
  if (!found || wait_pidfd(found.mapped().child.pidfd.get(), std::chrono::milliseconds(0))) return {};
  return std::move(found.mapped());
}

void InitProgram::keep_newborn(const std::string& cgroup, Waiting newborn) {
  std::lock_guard lock(mutex_);
  newborns_[cgroup] = std::move(newborn);
}

void InitProgram::prepare(size_t count) {
  for (;;) {
    {
      std::lock_guard lock(mutex_);
      if (spares_.size() >= count) return;
    }
    Waiting made = spawn_waiting({}, false);
    Word waiting;
    if (!receive_word(made.control.get(), waiting, deadline::kInitReady))
      throw Error(ErrorKind::kInternal, "husk-init ended before it had work");
    std::lock_guard lock(mutex_);
    spares_.push_back(std::move(made));
  }
}

void InitProgram::make_spare() {
  std::lock_guard lock(mutex_);
  if (!spares_.empty()) return;
  spare_wanted_ = true;
  asked_.notify_all();
}

void InitProgram::wait_for_time() {
  std::unique_lock lock(mutex_);
  asked_.wait(lock, [this] { return std::exchange(spare_wanted_, false); });
}

}  // namespace husk
