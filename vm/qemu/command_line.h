// The one place where a MachineConfig becomes QEMU's arguments. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "vm/machine.h"

namespace husk::vm {

// The numbers that our fds have inside QEMU, and how it starts (MachineStart). memory: -1 for RAM of QEMU's
// own, which is in no template.
struct QemuFds {
  int qmp = 3, agent = 4, console = 5, memory = -1;
  bool saved = false;
};

// The bus of the n-th hot-plug port: "rp0", … The first is the share's.
inline constexpr uint32_t kSharePort = 0;
std::string hotplug_bus(uint32_t port);
// The same port as the guest's kernel names it: "0000:00:04.0", …
std::string hotplug_address(uint32_t port);

// The guest kernel's command line. tsc_khz: the host's, 0 when unknown. Throws kInvalid when it gets too
// long for the kernel (2047 bytes) or holds a control character.
std::string kernel_command_line(const MachineConfig& config, unsigned long tsc_khz);

// argv of QEMU, argv[0] included. Throws as kernel_command_line does.
std::vector<std::string> qemu_arguments(const MachineConfig& config, const QemuFds& fds,
                                        unsigned long tsc_khz);

}  // namespace husk::vm
