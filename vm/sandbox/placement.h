// Where a container's host side stands: which sandbox, network namespace and cgroup. What a VM cannot share
// with the host is refused here.
#pragma once

#include <string>

#include "libcontainer/base/fd.h"
#include "spec/config.h"
#include "spec/options.h"
#include "vm/sizing/sizing.h"

namespace husk::vm {

// Throws kUnsupported for namespaces of the host, named one by one; options: whether the network is one of
// them.
void refuse_host_namespaces(const spec::Config& config, const spec::Options& options);
// Whether the container is to be in husk's own network namespace, the host's.
bool in_host_network(const spec::Config& config);

// What a container is to its pod, by the annotations of CRI-O, containerd and Podman.
struct PodRole {
  std::string pod;          // the sandbox's id; empty: none
  bool is_sandbox = false;  // it is the pod's sandbox itself: its end takes all of the pod
};
PodRole pod_role(const spec::Config& config);

// The size of the VM that a container makes. A pod's is for containers that come later, too: what the engine
// says of the whole pod (by annotation), else husk's defaults, and never less than the container's own limits
// ask for.
Size vm_size(const spec::Config& config, const spec::Options& options);

// A running container below root, by its husk-shim.
struct RunningContainer {
  std::string id, sandbox_folder;
};
bool find_by_shim(pid_t shim, const std::string& root, RunningContainer& out);

// The folder of the sandbox whose containers this one's namespace paths (/proc/PID/ns/… of a husk-shim below
// root) name, or empty. Throws kUnsupported when they are of several.
std::string named_sandbox(const spec::Config& config, const std::string& root);

// N of "/proc/N/ns/TYPE", or 0.
pid_t pid_of_namespace_path(const std::string& path);

// The network namespace by path or the host's, or nothing when the config wants a new one.
UniqueFd open_network_namespace(const spec::Config& config);

}  // namespace husk::vm
