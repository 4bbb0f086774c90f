#include "vm/sandbox/volume_changes.h"

#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "agent/wire/wire.h"
#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/trace.h"

namespace husk::vm {
namespace {

constexpr size_t kMaxPending = 4096;  // changes that wait to be told
constexpr const char* kNotSeen = "the guest's inotify sees no changes on the host: {}";

using Clock = std::chrono::steady_clock;

}  // namespace

VolumeChanges::VolumeChanges(AgentClient& agent)
    : agent_(agent), wake_(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")) {}

VolumeChanges::~VolumeChanges() {
  end();
}

void VolumeChanges::wake() noexcept {
  uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

// --- what containers bring ---

void VolumeChanges::add(const std::string& id, const std::string& volume, UniqueFd tree) {
  std::lock_guard lock(mutex_);
  auto [place, is_new] = volumes_.try_emplace(volume);
  if (is_new) place->second.tree = std::move(tree);
  place->second.containers.insert(id);
}

// False: there is nothing new to watch.
bool VolumeChanges::take_trees(const std::string& id) {
  std::lock_guard lock(mutex_);
  for (auto& [name, volume] : volumes_)
    if (volume.tree && volume.containers.count(id)) new_[name] = std::move(volume.tree);
  return !stopped_ && !new_.empty();
}

void VolumeChanges::begin(const std::string& id,
                          const std::function<std::vector<pid_t>()>& servers) noexcept {
  try {
    if (!take_trees(id)) return;
    std::vector<pid_t> pids = servers();  // without our lock: it may take one under which add() is called
    std::lock_guard lock(mutex_);
    if (stopped_) return;
    if (!thread_.joinable()) thread_ = std::thread([this, pids = std::move(pids)] { follow(pids); });
    wake();
  } catch (const std::exception& e) {
    spdlog::warn(kNotSeen, e.what());
  }
}

void VolumeChanges::remove(const std::string& id) noexcept {
  std::lock_guard lock(mutex_);
  for (auto it = volumes_.begin(); it != volumes_.end();) {
    const bool last = it->second.containers.erase(id) != 0 && it->second.containers.empty();
    if (last && new_.erase(it->first) == 0 && !it->second.tree) gone_.insert(it->first);
    it = last ? volumes_.erase(it) : std::next(it);
  }
  wake();
}

// --- the thread ---

void VolumeChanges::follow(const std::vector<pid_t>& servers) {
  trace::name_thread("changes");
  try {
    TreeWatch watch(servers);
    TreeChanges changes(kMaxPending);
    Clock::time_point next = Clock::now();
    while (take_news(watch, changes)) {
      if (Clock::now() < next) {
        wait(-1, next);
        continue;
      }
      if (changes.empty()) wait(watch.fd(), Clock::time_point::max());
      watch.read(changes);
      const bool watched = changes.empty() || tell(changes);
      next = Clock::now() + (watched ? deadline::kChangesWatched : deadline::kChangesUnwatched);
    }
  } catch (const Error& e) {
    spdlog::log(e.kind() == ErrorKind::kGuestDied ? spdlog::level::debug : spdlog::level::warn, kNotSeen,
                e.what());
  } catch (const std::exception& e) {  // no memory
    spdlog::warn(kNotSeen, e.what());
  }
}

// False: it is over.
bool VolumeChanges::take_news(TreeWatch& watch, TreeChanges& changes) {
  uint64_t count;
  (void)!read(wake_.get(), &count, sizeof count);
  std::map<std::string, UniqueFd> come;
  std::set<std::string> gone;
  {
    std::lock_guard lock(mutex_);
    if (stopped_) return false;
    come.swap(new_);
    gone.swap(gone_);
  }
  for (const std::string& name : gone) watch.remove(name, changes);
  for (auto& [name, tree] : come) {
    trace::Span span("watch volume");
    try {
      watch.add(name, std::move(tree));
    } catch (const Error& e) {
      spdlog::debug("the guest's inotify sees no changes on the host in {}: {}", name, e.what());
    }
  }
  return true;
}

// For news, or what the watch has to tell (-1: not that), or that time.
void VolumeChanges::wait(int watch, Clock::time_point until) const {
  pollfd fds[] = {{wake_.get(), POLLIN, 0}, {watch, POLLIN, 0}};
  int timeout = -1;
  if (until != Clock::time_point::max())
    timeout = static_cast<int>(
        std::chrono::ceil<std::chrono::milliseconds>(std::max(until - Clock::now(), Clock::duration(0)))
            .count());
  poll(fds, 2, timeout);
}

// False: nobody in the guest watches. Throws when it cannot be told.
bool VolumeChanges::tell(TreeChanges& changes) {
  std::vector<FileChange> told;
  for (TreeChange& change : changes.take(wire::kMaxChanges))
    told.push_back({std::move(change.tree), std::move(change.path), change.mask});
  const bool watched = agent_.notify_changes(told);
  spdlog::debug("{} changes on the host told, {}", told.size(), watched ? "watched" : "not watched");
  return watched;
}

// --- the end ---

void VolumeChanges::stop() noexcept {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  wake();
}

void VolumeChanges::end() noexcept {
  stop();
  if (thread_.joinable()) thread_.join();
}

}  // namespace husk::vm
