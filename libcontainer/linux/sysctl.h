// Kernel parameters of the container's namespaces.
#pragma once

#include <map>
#include <string>

namespace husk {

// "net.ipv4.ip_forward" (or with slashes) → "/proc/sys/net/ipv4/ip_forward". Throws kInvalid for a name that
// leads out.
std::string sysctl_path(const std::string& name);
// Call inside the new namespaces but with the outside's /proc, which a container may not have mounted at all:
// whose parameter it is depends on the writer's namespaces, not on the mount.
void apply_sysctls(const std::map<std::string, std::string>& values);

}  // namespace husk
