#include "vm/sandbox/disks.h"

#include <spdlog/spdlog.h>

#include <vector>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"

namespace husk::vm {

std::string Disks::plug(const std::string& container, Wanted wanted) {
  auto found = disks_.find(wanted.key);
  if (found == disks_.end()) {
    if (wanted.in_use)
      throw Error(ErrorKind::kUnsupported,
                  "it is in use on the host (mounted, or another VM's disk): two kernels would damage what "
                  "is on it",
                  EBUSY);
    Disk disk{machine_.plug_disk(std::move(wanted.fd), wanted.readonly), wanted.readonly, {}};
    found = disks_.emplace(wanted.key, std::move(disk)).first;
  }
  Disk& disk = found->second;
  if (disk.readonly && !wanted.readonly)
    throw Error(ErrorKind::kUnsupported, "another container of this VM has it, read-only");
  disk.containers.insert(container);
  return disk.slot.port;
}

void Disks::leave(const std::string& container) noexcept {
  std::vector<Slot> out;
  {
    std::lock_guard lock(plug_mutex_);
    for (auto it = disks_.begin(); it != disks_.end();) {
      const bool last = it->second.containers.erase(container) != 0 && it->second.containers.empty();
      if (last) out.push_back(it->second.slot);
      it = last ? disks_.erase(it) : std::next(it);
    }
  }
  for (const Slot& slot : out) take_out(slot);
}

// A guest that does not let go keeps the disk until its VM ends.
void Disks::take_out(const Slot& slot) noexcept {
  try {
    {
      std::lock_guard lock(plug_mutex_);
      machine_.ask_unplug(slot);
    }
    agent_.unplug(slot.port);
    std::lock_guard lock(plug_mutex_);
    machine_.finish_unplug(slot, deadline::kUnplug);
  } catch (const std::exception& e) {
    spdlog::warn("{}", e.what());
  }
}

}  // namespace husk::vm
