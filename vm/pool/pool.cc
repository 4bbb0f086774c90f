#include "vm/pool/pool.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <optional>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/lock.h"
#include "libcontainer/base/process.h"
#include "vm/sandbox/undo.h"
#include "vm/template/identity.h"
#include "vm/template/template_store.h"

namespace husk::vm {
namespace {

constexpr const char* kUnfinished = "new.";  // fill() has not seen it ready yet

std::vector<std::string> folders_in(const std::string& path) {
  std::vector<std::string> names;
  DIR* dir = opendir(path.c_str());
  if (!dir) return names;
  while (const dirent* entry = readdir(dir))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  closedir(dir);
  return names;
}

std::string entry_name(const ProcessId& process) {
  return std::to_string(process.pid) + "." + std::to_string(process.start_time);
}

// Empty for a name that is none of ours.
std::optional<ProcessId> process_of(const std::string& name) {
  ProcessId process;
  char end = 0;
  if (sscanf(name.c_str(), "%d.%llu%c", &process.pid, &process.start_time, &end) != 2 || process.pid <= 0)
    return {};
  return process;
}

// Those that live; what is left of others is removed. With unfinished: what a fill() left, too.
std::vector<std::string> living(const std::string& place, bool unfinished = false) {
  std::vector<std::string> names;
  for (const std::string& name : folders_in(place)) {
    const std::optional<ProcessId> process = process_of(name);
    if (process && is_alive(*process))
      names.push_back(name);
    else if (process || (unfinished && name.starts_with(kUnfinished)))
      remove_tree(path_join(place, name));
  }
  return names;
}

// The answer of a waiting VM, or nothing when it is taken or ending. Throws kTimeout when it does not answer.
std::optional<Json> ask_waiting(const std::string& path, const Json& body, UniqueFd& connection) {
  Message reply;
  if (!connect_control(path, connection)) return {};
  if (!exchange(connection.get(), body, {}, reply, deadline::kPoolReply)) return {};
  if (reply.body.contains("error")) return {};
  return std::move(reply.body);
}

void end_stuck(const std::string& place, const std::string& name) noexcept {
  try {
    spdlog::warn("the waiting VM {} does not answer: it is ended", name);
    kill_process(process_of(name).value());
    remove_tree(path_join(place, name));
  } catch (const std::exception& e) {
    spdlog::warn("{}", e.what());
  }
}

bool same_file_system(const std::string& a, const std::string& b) {
  struct stat x {
  }, y{};
  return stat(a.c_str(), &x) == 0 && stat(b.c_str(), &y) == 0 && x.st_dev == y.st_dev;
}

struct Starting {
  std::string path;
  UniqueFd connection;
  Child child;
};

Starting spawn_one(const std::string& place, BootRequest boot, size_t number) {
  Starting one;
  one.path = path_join(place, kUnfinished + std::to_string(getpid()) + "." + std::to_string(number));
  make_dirs(one.path, 0700);
  boot.folder = one.path;
  boot.waits = true;
  UniqueFd folder = open_file(one.path, O_PATH | O_DIRECTORY);
  UniqueFd listener = listen_at(folder.get(), kControlSocket, SOCK_SEQPACKET);
  auto [ours, theirs] = socket_pair(SOCK_SEQPACKET);
  SpawnOptions options;
  options.argv = {path_join(program_dir(), "husk-sandbox"), "pool"};
  options.fds = {{theirs.get(), kCreatorFd}, {listener.get(), kListenerFd}};
  options.cwd = "/";
  options.new_session = true;
  one.child = spawn(options);
  one.connection = std::move(ours);
  send_message(one.connection.get(), boot_to_json(boot));
  return one;
}

// Visible from here on. If we die before the last word, so does the VM.
void finish(const std::string& place, Starting& one) {
  Message ready;
  if (!receive_message(one.connection.get(), ready, deadline::kGuestBoot + deadline::kAgentCall))
    throw Error(ErrorKind::kGuestDied, "husk-sandbox ended while its VM started");
  throw_if_error(ready.body);
  const std::string path = path_join(place, entry_name(identify(one.child.pid)));
  check(rename(one.path.c_str(), path.c_str()), "rename " + one.path);
  send_message(one.connection.get(), {{"op", "wait"}});
}

}  // namespace

Pool::Pool(const std::string& template_folder) : folder_(path_join(template_folder, ".pool")) {}

std::string Pool::key(const BootRequest& boot) {
  std::string programs = boot.virtiofs_cache + "\n";
  for (const std::string& file : {boot.virtiofsd, path_join(program_dir(), "husk-sandbox")})
    programs += file_identity(file) + "\n";
  return TemplateStore::key(boot.machine) + "-" + text_hash(programs);
}

bool Pool::empty() const {
  return !path_exists(folder_);
}

std::string Pool::place(const BootRequest& boot) const {
  return path_join(folder_, key(boot));
}

PooledVm Pool::take(const BootRequest& boot, const std::string& root) const noexcept {
  try {
    const std::string place = this->place(boot);
    std::vector<std::string> names = living(place);
    if (names.empty() || !same_file_system(place, root)) return {};
    // Not all begin with the same one.
    std::ranges::rotate(names, names.begin() + getpid() % static_cast<int>(names.size()));
    for (const std::string& name : names) {
      PooledVm vm{path_join(place, name), {}, {}};
      try {
        const std::optional<Json> reply = ask_waiting(vm.path, boot_to_json(boot), vm.connection);
        if (!reply) continue;
        vm.pids = reply->at("pids").get<std::vector<pid_t>>();
        return vm;
      } catch (const Error& e) {
        if (e.kind() == ErrorKind::kTimeout) end_stuck(place, name);
      }
    }
  } catch (const std::exception& e) {
    spdlog::warn("without a waiting VM: {}", e.what());
  }
  return {};
}

size_t Pool::fill(const BootRequest& boot, size_t wanted) const {
  const std::string place = this->place(boot);
  make_dirs(place, 0700);
  UniqueFd lock = open_file(place, O_RDONLY | O_DIRECTORY);
  if (!lock_exclusively(lock.get(), deadline::kPoolLock))
    throw Error(ErrorKind::kTimeout, "another husk pool is filling " + place, ETIMEDOUT);
  const size_t there = living(place, true).size();
  std::vector<Starting> starting;
  while (there + starting.size() < wanted) starting.push_back(spawn_one(place, boot, starting.size()));
  for (Starting& one : starting) finish(place, one);
  return starting.size();
}

std::vector<PoolInfo> Pool::list() const {
  std::vector<PoolInfo> all;
  for (const std::string& key : folders_in(folder_)) {
    for (const std::string& name : living(path_join(folder_, key))) {
      PoolInfo& info = all.emplace_back(PoolInfo{key, process_of(name)->pid});
      try {
        UniqueFd connection;
        const std::optional<Json> reply =
            ask_waiting(path_join(path_join(folder_, key), name), {{"op", "status"}}, connection);
        if (!reply) continue;
        info.vcpus = reply->at("vcpus");
        info.memory_mib = reply->at("memory_mib");
        info.answers = true;
      } catch (const Error& e) {
        spdlog::debug("{}: {}", name, e.what());
      }
    }
  }
  return all;
}

size_t Pool::drain() const {
  size_t ended = 0;
  for (const std::string& key : folders_in(folder_)) {
    const std::string place = path_join(folder_, key);
    for (const std::string& name : living(place)) {
      UniqueFd pidfd = open_process(process_of(name).value());
      UniqueFd connection;
      try {
        if (!ask_waiting(path_join(place, name), {{"op", "end"}}, connection)) continue;  // just taken
        if (pidfd && !wait_pidfd(pidfd.get(), deadline::kDeleteEnd)) end_stuck(place, name);
      } catch (const Error& e) {
        if (e.kind() != ErrorKind::kTimeout) throw;
        end_stuck(place, name);
      }
      ++ended;
    }
    UniqueFd lock = open_file(place, O_RDONLY | O_DIRECTORY);
    if (lock_exclusively(lock.get(), deadline::kPoolLock)) living(place, true);
    rmdir(place.c_str());  // unless somebody fills it just now
  }
  rmdir(folder_.c_str());
  return ended;
}

}  // namespace husk::vm
