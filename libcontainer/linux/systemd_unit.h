// A container's cgroup as a unit of systemd's (--systemd-cgroup): systemd makes the cgroup and keeps some of
// its limits. husk, a static program, asks through husk-systemd, which knows D-Bus.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/process.h"
#include "libcontainer/linux/cgroups.h"
#include "libcontainer/linux/systemd_request.h"
#include "spec/config.h"

namespace husk {

class SystemdUnit {
 public:
  struct Options {
    std::string helper;  // the path of husk-systemd; empty: beside this program
    std::chrono::milliseconds job_timeout = deadline::kSystemdJob;
  };

  // name: the unit's, "husk-ID.scope". Empty: there is none, and nothing below does anything, so that who
  // uses a cgroup need not ask which driver made it.
  explicit SystemdUnit(std::string name) : SystemdUnit(std::move(name), Options()) {}
  SystemdUnit(std::string name, Options options) : name_(std::move(name)), options_(std::move(options)) {}
  SystemdUnit(const SystemdUnit&) = delete;
  SystemdUnit& operator=(const SystemdUnit&) = delete;
  ~SystemdUnit() { release(); }

  // Makes the unit, for a config whose unit_name() this is, without any limit. `cgroup` then is where systemd
  // has put it. A scope is held by a process of husk's until release(): move the container's in before.
  // Throws kExists where it is somebody else's already; kUnsupported without systemd; kTimeout; and what
  // systemd says.
  void start(const spec::Config& config, const std::string& id, Cgroup& cgroup);
  void release() noexcept;
  // Limits as properties, until the unit ends. Cgroup::apply and apply_devices come afterwards: they are
  // exact. Throws kInvalid for a memory limit that Cgroup::apply would refuse (checkBeforeUpdate).
  void apply(const Cgroup& cgroup, const spec::Resources& resources) const;
  // Ends it; quiet where it has gone. Kill its processes before: systemd asks them politely, and waits.
  void stop() const;

 private:
  struct Helper {
    Child child;
    UniqueFd socket;
  };
  Helper spawn_helper() const;
  Json ask(SystemdRequest request, Helper& helper) const;
  void ask(SystemdRequest request) const;

  std::string name_;
  Options options_;
  Helper holder_;
};

}  // namespace husk
