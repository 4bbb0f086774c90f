// Device nodes of a container.
#pragma once

#include <vector>

#include "libcontainer/base/root.h"
#include "spec/config.h"

namespace husk {

// null zero full random urandom tty (runtime-spec, "Default Devices").
std::vector<spec::Device> default_devices();
// Makes the default devices that the list does not name, then the list's. A node that exists is left alone.
// bind: the outside's nodes are bind-mounted, because mknod(2) is forbidden in a user namespace.
void make_devices(const Root& root, const std::vector<spec::Device>& devices, bool bind);

}  // namespace husk
