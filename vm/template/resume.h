// A new VM from a saved one.
#pragma once

#include <memory>

#include "vm/machine.h"
#include "vm/template/template_store.h"

namespace husk::vm {

// Starts QEMU, copies the template's RAM meanwhile and returns when the guest runs on. The template's files are not changed.
// From the main thread, as start_qemu(). Throws; then nothing is left.
std::unique_ptr<Machine> resume(const MachineConfig& machine, SavedVm saved);

}  // namespace husk::vm
