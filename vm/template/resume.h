// A new VM from a saved one.
#pragma once

#include <memory>

#include "vm/machine.h"
#include "vm/template/template_store.h"

namespace husk::vm {

// Starts QEMU and copies the template's RAM meanwhile; what is left is Machine::resume() with its state. The
// template's files are not changed. From the main thread, as start_qemu(). Throws; then nothing is left.
std::unique_ptr<Machine> start_saved(const MachineConfig& machine, const SavedVm& saved);

}  // namespace husk::vm
