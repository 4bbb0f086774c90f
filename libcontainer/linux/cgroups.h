// A container's cgroup, in every hierarchy that this kernel has mounted: v1, v2 or hybrid. The same class serves the host
// (the VM's processes) and the guest (the container's own, always v2).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "spec/config.h"

namespace husk {

class Cgroup {
 public:
  // path: below each hierarchy's root, "/docker/ID". root: where hierarchies are mounted (a test's fake, else
  // /sys/fs/cgroup); what is mounted there is read from /proc/self/mountinfo, or by looking at the folder for a fake.
  // A relative path is below the hierarchy's root as well, as runc has it.
  explicit Cgroup(std::string path, const std::string& root = "/sys/fs/cgroup");

  const std::string& path() const { return path_; }
  // The v2 folder, or on pure v1 the memory controller's; empty when no hierarchy is there. For v2 births see
  // CreateRequest::cgroup.
  std::string v2_folder() const;

  // mkdir in every hierarchy, enabling controllers on the way down (v2). Returns quietly where it exists.
  void create();
  // Moves a process (tgid) in, in every hierarchy.
  void add(pid_t pid);
  // Applies the limits, converting between v1's and v2's terms (shares ↔ weight, memory+swap ↔ swap, blkio …); a
  // limit whose controller is missing is named in the returned warnings, everything else that fails throws.
  std::vector<std::string> apply(const spec::Resources& resources);
  // Device rules: v1's devices.allow/deny, v2's eBPF program (replacing the one that is attached).
  void apply_devices(const std::vector<spec::DeviceCgroup>& rules);
  void freeze(bool frozen);  // waits until the kernel says so
  bool frozen() const;
  std::vector<pid_t> pids() const;  // of it and its children cgroups
  void kill_all(int signal);        // cgroup.kill for SIGKILL where it exists, else freeze, signal, thaw
  // runc's `events --stats` "data" object: cpu, memory, pids, blkio, hugetlb.
  nlohmann::json stats() const;
  unsigned long long oom_kills() const;
  // rmdir, children first, in every hierarchy, waiting for dying processes until the deadline. What is gone is fine.
  // Parents which create() made stay (engines share them).
  void remove(std::chrono::milliseconds timeout);

 private:
  struct Hierarchy {
    std::string mount;                     // where it is mounted
    std::vector<std::string> controllers;  // v1: what is on it; v2: cgroup.controllers
    bool v2 = false;
    std::string folder;                    // of this cgroup
  };
  const Hierarchy* find(const std::string& controller) const;

  std::string path_;
  std::vector<Hierarchy> hierarchies_;
};

// config.linux.cgroupsPath → the path for Cgroup. systemd: "slice:prefix:name" becomes "/slice/prefix-name.scope" with the
// slice expanded (a-b.slice → /a.slice/a-b.slice). Empty cgroupsPath: "/husk/ID" (systemd: "system.slice:husk:ID").
std::string cgroup_path(const std::string& cgroups_path, const std::string& id, bool systemd);

}  // namespace husk
