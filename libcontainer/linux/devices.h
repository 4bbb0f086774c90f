// Device nodes of a container.
#pragma once

#include <string>
#include <vector>

#include "libcontainer/base/root.h"
#include "spec/config.h"

namespace husk {

// null zero full random urandom tty (runtime-spec, "Default Devices").
std::vector<spec::Device> default_devices();
// Makes the list's devices, then the default ones that it does not name. A node that exists is left alone.
// bind: the outside's nodes are bind-mounted, because mknod(2) is forbidden in a user namespace.
void make_devices(const Root& root, const std::vector<spec::Device>& devices, bool bind);

// Where sysfs has the device of this type ("c", "u", "b") and number: "/sys/dev/char/10:229".
std::string sysfs_path(const spec::Device& device);
// What this kernel calls it, below /dev ("net/tun"), which is where devtmpfs has it; empty where it has none
// of that number.
std::string kernel_name(const spec::Device& device);
// Whether the path is a node of this very device; symlinks are followed.
bool is_node_of(const std::string& path, const spec::Device& device);

}  // namespace husk
