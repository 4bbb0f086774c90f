// Where a container's host side stands: which sandbox, network namespace and cgroup. What a VM cannot share
// with the host is refused here.
#pragma once

#include <string>

#include "libcontainer/base/fd.h"
#include "libcontainer/linux/cgroups.h"
#include "spec/config.h"
#include "spec/options.h"
#include "vm/sizing/sizing.h"

namespace husk::vm {

// Throws kUnsupported for namespaces of the host, named one by one.
void refuse_host_namespaces(const spec::Config& config);

// The folder of the sandbox (a container's folder with a living husk-sandbox) that this container joins: by
// its annotations (CRI-O, containerd), or because a namespace path in its config is /proc/PID/ns/… of a
// husk-shim below root. Empty: it gets a VM of its own.
std::string find_sandbox(const spec::Config& config, const std::string& root);

// N of "/proc/N/ns/TYPE", or 0.
pid_t pid_of_namespace_path(const std::string& path);

// The network namespace by path, or nothing when the config wants a new one.
UniqueFd open_network_namespace(const spec::Config& config);

// What bounds the VM on the host: the VM's memory and kVmmOverheadMib for QEMU and virtiofsd (where the
// container has a limit), CPU shares and cpusets. The rest is the guest's to enforce.
inline constexpr uint32_t kVmmOverheadMib = 192;
spec::Resources host_resources(const spec::Config& config, const Size& size);

}  // namespace husk::vm
