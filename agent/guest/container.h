// One container: its first process, what was exec'd into it, its cgroup and its state.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "agent/guest/devices.h"
#include "agent/guest/process.h"
#include "agent/guest/storage.h"
#include "libcontainer/linux/cgroups.h"
#include "spec/config.h"
#include "spec/status.h"

namespace husk::guest {

inline constexpr size_t kMaxProcesses = 4096;  // of one container

struct ContainerOptions {
  std::string id, bundle;
  spec::Config config;  // as it came; create() keeps what this kernel has to do
  bool no_pivot = false, no_new_keyring = false, one_output = false;
  std::vector<DeviceSource> devices;        // of the config's
  bool all_devices = false;                 // and this kernel's
  DeviceNumbers numbers;                    // of the devices, once they were found
  std::optional<Cgroup> cgroup;             // that is there already, with the rules for its devices
  std::vector<std::shared_ptr<void>> held;  // what its mounts name, for as long as it lives
};

class Container {
 public:
  // Sets it up to the gate of start. On failure nothing is left. warnings: what this kernel cannot honour is
  // added.
  static std::shared_ptr<Container> create(Reaper& reaper, InitProgram& init_program,
                                           ContainerOptions options, std::vector<std::string>& warnings);

  const std::string& id() const { return id_; }
  Status status() const;
  pid_t pid() const { return init_->pid(); }

  struct ExecOptions {
    std::string cgroup;  // a path below the container's own, or empty
    bool ignore_paused = false, one_output = false;
    std::optional<WindowSize> size;
  };
  // One more process, started. When that fails nothing is left of it.
  std::shared_ptr<Process> exec(const std::string& process_id, const spec::Process& process,
                                const ExecOptions& options);
  // An empty id is init. Throws kNotFound.
  std::shared_ptr<Process> process(const std::string& process_id) const;
  // Opens init's gate; its terminal, if it has one, gets that size before.
  void start(const std::optional<WindowSize>& size);
  void signal(const std::string& process_id, int signal, bool all);
  void pause();
  void resume();
  std::vector<std::string> update(spec::Resources resources);
  nlohmann::json stats() const { return cgroup_.stats(); }
  std::vector<pid_t> pids() const { return cgroup_.pids(); }

  // What is told of a process's end: called after it, as often as one likes. For init it makes sure first
  // that what the container wrote is on the host.
  Exit finish(const Process& process, ExitStatus status);
  // Somebody has been told of the end: the process may be forgotten.
  void collected(const std::string& process_id);

  // Kills what still runs and removes the cgroup. Throws when something refuses to die.
  void remove();

 private:
  Container(Reaper& reaper, InitProgram& init_program, ContainerOptions options);
  std::vector<std::string> limit(const spec::Resources& resources, bool devices);
  void check_exec_allowed(bool ignore_paused) const;
  std::shared_ptr<Process> create_process(const std::string& process_id, const spec::Process& process,
                                          const ExecOptions& options);
  void forget_collected();

  Reaper& reaper_;
  InitProgram& init_program_;
  const std::string id_;
  const bool no_new_keyring_;
  const spec::Config config_;
  const DeviceNumbers numbers_;
  std::vector<std::shared_ptr<void>> held_;  // until remove()
  Cgroup cgroup_;
  std::shared_ptr<Process> init_;
  std::once_flag synced_;

  struct Entry {
    std::shared_ptr<Process> process;  // null while it is being made
    bool collected = false;
  };
  mutable std::mutex mutex_;
  std::map<std::string, Entry> processes_;  // exec'd ones
  bool paused_ = false, removing_ = false;
};

}  // namespace husk::guest
