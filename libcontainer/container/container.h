// A container's life as the commands see it: who may do what in which state, hooks, and the files that
// remember it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "libcontainer/container/backend.h"
#include "libcontainer/container/bundle.h"
#include "libcontainer/container/store.h"

namespace husk {

class Container {
 public:
  struct CreateOptions {
    std::string id;
    HostStdio stdio;
    std::string pid_file;  // empty: none
    bool no_pivot = false, no_new_keyring = false, systemd_cgroup = false;
    std::vector<int> preserve_fds;
    std::vector<std::string> folders;  // to make in the container's own, for mounts of the bundle's config
  };
  // Up to the gate of start. On failure nothing is left of it. Throws kExists for an id in use.
  static Container create(const Store& store, Backend& backend, const Bundle& bundle,
                          const CreateOptions& options);
  // Throws kNotFound.
  static Container load(const Store& store, Backend& backend, const std::string& id);

  const Record& record() const { return record_; }
  // Asked anew from the backend at each call.
  Status status() const;
  // What `state` prints: ociVersion, id, pid, status, bundle, rootfs, created, annotations, owner, in this
  // order.
  nlohmann::ordered_json state() const;

  // Each throws kWrongState, in runc's words, where the state doesn't allow it.
  void start();
  struct ExecOptions {
    HostStdio stdio;
    std::string pid_file;
    std::vector<int> preserve_fds;
    bool ignore_paused = false;
    std::vector<std::string> cgroups;  // [CONTROLLER[,CONTROLLER]...:]PATH below the container's own
  };
  pid_t exec(const spec::Process& process, const ExecOptions& options);
  // What exec asks before it sets up the process's stdio.
  void check_exec(bool ignore_paused) const;
  void kill(int signal, bool all);
  void pause();
  void resume();
  void update(const spec::Resources& resources);
  nlohmann::json stats();
  std::vector<ProcessRow> processes();
  std::vector<pid_t> host_pids();

  // The config that it was made from.
  spec::Config config() const;

 private:
  Container(const Store& store, Backend& backend, Record record)
      : store_(&store), backend_(&backend), record_(std::move(record)) {}

  ContainerRef ref() const { return store_->ref(record_.id); }
  std::string hook_state(Status status) const;
  void create_machine(const Bundle& bundle, const CreateOptions& options);
  void run_create_hooks(const spec::Hooks& hooks, pid_t pid);
  void require_alive(const char* what) const;

  friend void delete_container(const Store& store, Backend& backend, const std::string& id, bool force);
  void check_delete() const;
  void run_poststop_hooks();

  const Store* store_;
  Backend* backend_;
  Record record_;
};

// Ends what runs (only with force, or before start), undoes create, runs poststop hooks, forgets the id. With
// force a container that doesn't exist is fine, and a folder that a killed create left is removed.
void delete_container(const Store& store, Backend& backend, const std::string& id, bool force);

}  // namespace husk
