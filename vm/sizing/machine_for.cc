#include "libcontainer/base/file.h"
#include "vm/sizing/sizing.h"

namespace husk::vm {

MachineConfig machine_for(const spec::Options& options, const Size& size) {
  GuestImage guest = find_guest(options, program_dir());
  MachineConfig machine;
  machine.type = options.machine == "microvm" ? MachineType::kMicrovm : MachineType::kQ35;
  machine.accel = choose_accel(options.accel, "");
  machine.vmm = options.qemu;
  machine.firmware = options.firmware;
  machine.kernel = guest.kernel;
  machine.initrd = guest.initrd;
  machine.kernel_params = options.kernel_params;
  machine.vcpus = size.vcpus;
  machine.memory_mib = size.memory_mib;
  machine.tcg_tb_size_mib = options.tcg_tb_size;
  machine.seccomp = options.hypervisor_sandbox;
  return machine;
}

}  // namespace husk::vm
