#include "vm/template/resume.h"

#include "libcontainer/base/trace.h"
#include "vm/template/ram.h"

namespace husk::vm {

std::unique_ptr<Machine> start_saved(const MachineConfig& config, const SavedVm& saved) {
  UniqueFd ram = make_ram(uint64_t{config.memory_mib} << 20);
  trace::Span start("start QEMU");
  std::unique_ptr<Machine> machine = start_qemu(config, {dup_fd(ram.get()), true});
  start.end();
  trace::Span copy("copy RAM");
  copy_ram(saved.memory.get(), ram.get());
  return machine;
}

}  // namespace husk::vm
