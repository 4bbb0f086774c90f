// Engines learn of an OOM kill from the host kernel, at the memory cgroup of the container's pid: an eventfd
// on v1, memory.events on v2. A kill in the guest is made known there by one on the host.
#pragma once

#include <sys/types.h>

namespace husk::vm {

// Lets a process of our own run out of memory in the shim's memory cgroup: a little above what is used there
// is its limit until then. The kernel takes that process first (oom_score_adj), so the VM is not in danger.
// From any thread; those that come while one is under way are told by one more. Throws when that is not
// permitted.
void report_oom(pid_t shim);

}  // namespace husk::vm
