// Where containers are remembered: ROOT/ID/state.json and a copy of the config.json that they were made from.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "libcontainer/base/fd.h"
#include "libcontainer/container/backend.h"
#include "spec/config.h"

namespace husk {

// A process's name for ever: a pid is reused, a pid with its start time is not.
struct ProcessId {
  pid_t pid = 0;                 // 0: none
  unsigned long long start = 0;  // process_start_time(pid)

  static ProcessId of(pid_t pid);
  bool alive() const;
};

// The content of state.json.
struct Record {
  std::string id;
  std::string oci_version = spec::kOciVersion;
  std::string bundle, rootfs;  // absolute
  std::string created;         // RFC 3339 with nanoseconds, UTC
  std::string owner;           // the user who called create
  std::map<std::string, std::string> annotations;
  ProcessId init;
  // The husk that is still busy with create; empty afterwards.
  ProcessId creator;
  bool systemd_cgroup = false;
  // Whether the config has such hooks: start and delete read the config's copy only then.
  bool start_hooks = false, poststart_hooks = false, poststop_hooks = false;

  std::string to_json() const;
  // Throws kInvalid for what is not a state of husk's.
  static Record from_json(std::string_view text);
};

// Held by whoever changes a container (create, start, pause, resume, update, delete), so that these don't
// interleave. Released by its end.
class FolderLock {
 public:
  explicit FolderLock(UniqueFd folder) : folder_(std::move(folder)) {}

 private:
  UniqueFd folder_;
};

class Store {
 public:
  // Nothing is made before the first container. root: absolute.
  explicit Store(std::string root) : root_(std::move(root)) {}
  // /run/husk, or $XDG_RUNTIME_DIR/husk for who is not root.
  static std::string default_root();

  const std::string& root() const { return root_; }
  std::string folder(const std::string& id) const;
  std::string config_path(const std::string& id) const;
  ContainerRef ref(const std::string& id) const { return {id, folder(id)}; }

  // Takes the id: mkdir is atomic, so of two creates one wins. Throws kExists.
  FolderLock make(const std::string& id) const;
  // Waits for other commands on this container. Throws kNotFound when it is gone, kTimeout.
  FolderLock lock(const std::string& id) const;

  // Reading takes no lock: state.json is only ever replaced as a whole.
  Record load(const std::string& id) const;  // throws kNotFound: container "x" does not exist
  void save(const Record& record) const;
  void save_config(const std::string& id, std::string_view text) const;
  bool has_folder(const std::string& id) const;
  // Sorted; those whose folder holds a state.json.
  std::vector<std::string> ids() const;
  void remove(const std::string& id) const;

 private:
  std::string root_;
};

// "2026-01-31T10:20:30.123456789Z"
std::string now_rfc3339();
// From /etc/passwd; "#1000" for a user that is not in it.
std::string user_name(uid_t uid);

}  // namespace husk
