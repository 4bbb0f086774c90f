// A container's cgroup, in every hierarchy that this kernel has mounted: v1, v2 or hybrid. The same class
// serves the host (the VM's processes) and the guest (the container's own, always v2).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "libcontainer/base/fd.h"
#include "spec/config.h"

namespace husk {

// One mounted hierarchy and this cgroup's folder in it.
struct CgroupHierarchy {
  std::string mount;  // where it is mounted
  std::vector<std::string>
      controllers;  // v1: what is on it ("name=systemd" included); v2: cgroup.controllers
  bool v2 = false;
  std::string folder;  // of this cgroup
};

// Where below a container's cgroup one more process goes, as `exec --cgroup` says it: in the v1 hierarchies
// of these controllers, or, with none named, in every hierarchy.
struct SubCgroup {
  std::vector<std::string> controllers;
  std::string path;
};
// "[CONTROLLER[,CONTROLLER]...:]PATH" each. Throws kInvalid for a path that leads out.
std::vector<SubCgroup> parse_sub_cgroups(const std::vector<std::string>& texts);

class Cgroup {
 public:
  // path: below each hierarchy's root, "/docker/ID". root: where hierarchies are mounted (a test's fake, else
  // /sys/fs/cgroup); what is mounted there is read from /proc/self/mountinfo, or by looking at the folder for
  // a fake. A relative path is below the hierarchy's root as well, as runc has it. Who is not root
  // (is_rootless()) has only the hierarchies in which he may write there: maybe none.
  explicit Cgroup(std::string path, const std::string& root = "/sys/fs/cgroup");

  const std::string& path() const { return path_; }
  // The v2 folder, or on pure v1 the memory controller's; empty when no hierarchy is there. For v2 births see
  // CreateRequest::cgroup.
  std::string v2_folder() const;
  // The v2 folder for one more process: that of the container's oldest. It is another than v2_folder() where
  // the container has split its own group (systemd inside), which then takes no process, and must have none
  // before.
  std::string birth_folder() const;
  // No v1 hierarchy is mounted: limits are in v2's terms.
  bool v2_only() const;

  // mkdir in every hierarchy, enabling controllers on the way down (v2). Returns quietly where it exists.
  void create();
  // Moves a process (tgid) in, in every hierarchy. Where v2 forbids it because the container has split its
  // own group (systemd inside), it joins the child group of the container's oldest process.
  void add(pid_t pid);
  // The same for the caller, a process of one thread: some 5 ms faster where it has no v2 group to move to,
  // which who was born there (open_unified) has not. Or below this group; groups there are not made. Throws
  // kInvalid for a controller that is on no v1 hierarchy.
  void add_self(const std::vector<SubCgroup>& below = {}) const;
  // The folder in the v2 hierarchy, for CLONE_INTO_CGROUP; no fd where there is none.
  UniqueFd open_unified() const;
  // Applies the limits, converting between v1's and v2's terms (shares ↔ weight, memory+swap ↔ swap, blkio
  // …); a limit whose controller or file is missing is named in the returned warnings, everything else that
  // fails throws. Absent limits stay as they are. `devices` is not looked at: see apply_devices.
  std::vector<std::string> apply(const spec::Resources& resources);
  // What apply() refuses because of the group's state (memory.checkBeforeUpdate): for who changes a limit in
  // another way before. Throws kInvalid.
  void check_update(const spec::Resources& resources) const;
  // Device rules, the last one that matches wins, what none matches is denied; no rules: nothing is changed.
  // v1's devices.allow/deny, v2's eBPF program (replacing those that are attached). Throws kUnsupported where
  // the kernel has neither, or where v1 cannot express a rule (a denied device within an allowed range).
  void apply_devices(const std::vector<spec::DeviceCgroup>& rules);
  // A container's rules, and behind them what every container may use (default_device_rules). No rules:
  // nothing is changed. What the kernel has no means for is returned as a warning.
  std::vector<std::string> apply_container_devices(std::vector<spec::DeviceCgroup> rules);
  // Waits until the kernel says so; after kTimeout the group is thawed again. Throws kWrongState when the
  // caller itself is in the group.
  void freeze(bool frozen);
  bool frozen() const;
  std::vector<pid_t> pids() const;  // of it and its children cgroups
  void kill_all(int signal);        // cgroup.kill for SIGKILL where it exists, else freeze, signal, thaw
  // runc's `events --stats` "data" object: cpu, cpuset, memory, pids, blkio, hugetlb. What the kernel lacks
  // is 0.
  nlohmann::json stats() const;
  // The memory controller's folder; empty where there is none.
  std::string memory_folder() const;
  // Processes which the OOM killer took (memory.events, memory.oom_control); 0 where that is not counted.
  unsigned long long oom_kills() const;
  // rmdir, children first, in every hierarchy, waiting for dying processes until the deadline. What is gone
  // is fine. Parents which create() made stay (engines share them).
  void remove(std::chrono::milliseconds timeout);

 private:
  using Hierarchy = CgroupHierarchy;
  void leave_out_foreign();
  const Hierarchy* find(const std::string& controller) const;
  const Hierarchy* unified() const;
  // The v1 freezer, else v2 (whose freezer is not a controller); null where there is neither.
  const Hierarchy* freezer() const;
  // Freezing, killing or removing "/" would hit the whole machine.
  void refuse_root(const char* verb) const;
  std::vector<Hierarchy> hierarchies_below(const std::vector<SubCgroup>& below) const;

  std::string path_;
  std::vector<Hierarchy> hierarchies_;
};

// For who is about to call it a container's own, and to remove() it when something fails. Throws kInvalid
// where others' processes live in it (they would be ended) or it is frozen (nothing would start).
void refuse_foreign_cgroup(const Cgroup& cgroup);

// The devices any container may use (runtime-spec, config-linux.md, "Default Devices", and what runc allows
// beside them): mknod of everything, null, zero, full, random, urandom, tty, console, ptmx, pts/*, net/tun.
const std::vector<spec::DeviceCgroup>& default_device_rules();
// With the default rules behind the config's, where there are any: the last rule that matches counts.
std::vector<spec::DeviceCgroup> with_default_rules(std::vector<spec::DeviceCgroup> rules);
spec::Resources with_default_devices(spec::Resources resources);
// What bounds a container from its creation on: config's resources; where those have no rules of devices,
// only the default devices (as runc).
spec::Resources first_resources(const spec::Config& config);
// Whether rules with the default ones behind them allow what those do, and nothing else.
bool allows_only_defaults(const std::vector<spec::DeviceCgroup>& rules);

// The unit that systemd's driver makes a container's cgroup with.
struct UnitName {
  // That it is in; without one in the path: system.slice, or user.slice where is_rootless().
  std::string slice;
  std::string unit;  // "husk-ID.scope", or a slice of its own
  bool is_slice() const { return unit.ends_with(".slice"); }
};
// From config.linux.cgroupsPath, "slice:prefix:name". Throws kInvalid.
UnitName unit_name(const std::string& cgroups_path, const std::string& id);

// config.linux.cgroupsPath → the path for Cgroup. systemd: "slice:prefix:name" becomes
// "/slice/prefix-name.scope" with the slice expanded (a-b.slice → /a.slice/a-b.slice). Empty cgroupsPath:
// "/husk/ID" (systemd: ":husk:ID").
std::string cgroup_path(const std::string& cgroups_path, const std::string& id, bool systemd);

}  // namespace husk
