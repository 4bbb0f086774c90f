// Templates: VMs saved just before their first work, and resumed for as many containers as need one. Each is
// a folder of RAM and device state, named after all that went into it; whatever of that changes, another
// template is made.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libcontainer/base/fd.h"
#include "vm/machine.h"

namespace husk::vm {

// A template's files, open: it may be removed meanwhile. Empty fds: there is none.
struct SavedVm {
  UniqueFd memory, state;
  explicit operator bool() const { return static_cast<bool>(memory); }
};

struct TemplateInfo {
  std::string key;
  std::string machine;  // "q35, 1 vCPU, 512 MiB, vmlinux"
  uint64_t bytes = 0;   // what it occupies
};

class TemplateStore {
 public:
  // folder: on tmpfs, or the memory of templates is the page cache's. cap_mib: of all templates together, for
  // make(): the one that was used longest ago goes first.
  explicit TemplateStore(std::string folder, uint32_t cap_mib = 0)
      : folder_(std::move(folder)), cap_mib_(cap_mib) {}

  // The template's name: a hash of QEMU, its arguments, kernel, initrd, firmware, and this boot of the host.
  static std::string key(const MachineConfig& machine);

  // Makes the template for such machines unless it is there, and waits for whoever makes it just now. False:
  // no templates are made (a cap of 0), or, unless `again`, this one could not be made a short while ago
  // (deadline::kTemplateRetry). virtiofsd: its path. Single-threaded callers only; throws.
  bool make(const MachineConfig& machine, const std::string& virtiofsd, bool again = false) const;
  // Empty where there is no whole one (then it is removed).
  SavedVm open(const MachineConfig& machine) const;
  // In the order of their last use, the latest first.
  std::vector<TemplateInfo> list() const;
  // Removes all that are listed, and what is known of failures; VMs made from them live on. How many there
  // were.
  size_t destroy() const;
  void remove(const std::string& key) const;

 private:
  std::string path(const std::string& key) const;
  UniqueFd lock() const;
  bool is_whole(const std::string& key) const;
  bool failed_lately(const std::string& key) const;
  void try_build(const MachineConfig& machine, const std::string& virtiofsd, const std::string& key) const;
  void build(const MachineConfig& machine, const std::string& virtiofsd, const std::string& folder) const;
  void remove_outdated(const MachineConfig& machine) const;
  void make_room() const;

  std::string folder_;
  uint32_t cap_mib_;
};

}  // namespace husk::vm
