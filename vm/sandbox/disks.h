// The host's block devices that containers of the VM have: each plugged once, for as long as one of them
// wants it.
#pragma once

#include <map>
#include <mutex>
#include <set>
#include <string>

#include "agent/client/agent_client.h"
#include "libcontainer/base/fd.h"
#include "vm/machine.h"

namespace husk::vm {

class Disks {
 public:
  struct Wanted {
    std::string key;  // which one: containers that want the same have the same
    UniqueFd fd;      // open for writing unless readonly
    bool readonly = false;
    bool in_use = false;  // by somebody else, or by this VM
  };
  // plug_mutex: whoever touches the machine holds it. All that is passed must outlive this.
  Disks(std::mutex& plug_mutex, Machine& machine, AgentClient& agent)
      : plug_mutex_(plug_mutex), machine_(machine), agent_(agent) {}

  // The PCI address of its port in the guest. Only with plug_mutex held. Throws.
  std::string plug(const std::string& container, Wanted wanted);
  // The container has gone: takes out what was only its own.
  void leave(const std::string& container) noexcept;

 private:
  struct Disk {
    Slot slot;
    bool readonly = false;
    std::set<std::string> containers;
  };
  void take_out(const Slot& slot) noexcept;

  std::mutex& plug_mutex_;
  Machine& machine_;
  AgentClient& agent_;
  std::map<std::string, Disk> disks_;  // by key; guarded by plug_mutex_
};

}  // namespace husk::vm
