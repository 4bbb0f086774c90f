#include "vm/template/resume.h"

#include "vm/template/ram.h"

namespace husk::vm {

std::unique_ptr<Machine> start_saved(const MachineConfig& config, const SavedVm& saved) {
  UniqueFd ram = make_ram(uint64_t{config.memory_mib} << 20);
  std::unique_ptr<Machine> machine = start_qemu(config, {dup_fd(ram.get()), true});
  copy_ram(saved.memory.get(), ram.get());
  return machine;
}

}  // namespace husk::vm
