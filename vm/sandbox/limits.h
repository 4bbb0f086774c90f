// A container's resources, shared out: what its cgroup on the host gets, which may hold the VM, and what the
// guest's.
#pragma once

#include <optional>
#include <string>

#include "libcontainer/linux/cgroups.h"
#include "spec/config.h"
#include "vm/sizing/sizing.h"

namespace husk::vm {

// Connections that husk-sandbox carries at a time, of all containers of a VM. Each costs two threads on the
// host, so there is a bound; it is four times that of one listener (wire::kMaxConnections), which alone holds
// up no other.
inline constexpr unsigned kMaxVmConnections = 256;

// What a container's host cgroup gets before anything runs in it: CPU shares, cpuset, and, for the one that
// makes the VM, the VM's memory and kVmmOverheadMib for QEMU and virtiofsd (where the container has a limit)
// and block I/O, which is virtiofsd's to do. No vm: a member, whose cgroup holds the VM only when its maker
// has gone.
inline constexpr uint32_t kVmmOverheadMib = 192;
spec::Resources host_resources(const spec::Config& config, const Size* vm);
// What the maker's cgroup gets once the container stands at its gate, since the container's limits are not
// there to slow down husk's own work: device rules; CPU quota, period and burst, but at least
// kMinVmmCpuPercent of a CPU, below which the VM would not answer in time; the pids limit, but at least
// kMinVmmPids, for QEMU's threads and husk-sandbox's (a process that the container forks is none of the
// host's, one that is exec'd has its husk-shim and up to five threads of husk-sandbox, a connection two).
inline constexpr int64_t kMinVmmCpuPercent = 5, kMinVmmPids = 256 + 2 * kMaxVmConnections;
spec::Resources host_resources_at_gate(const spec::Resources& wanted);
// CPU shares and cpuset, whose numbers are those of the host's CPUs: what the host's cgroup always takes.
spec::CpuResources host_cpu(const spec::CpuResources& wanted);
// The memory limit of a cgroup that holds a VM; nothing where its maker had none.
spec::Resources vm_memory_limit(const Cgroup& cgroup);
// What the guest's cgroup takes: everything but the cpuset and block I/O, which name the host's CPUs and
// disks. Throws kInvalid for less memory than any process takes there (kMinGuestMemory): its kernel would
// rather read a program's pages again and again than end it.
inline constexpr int64_t kMinGuestMemory = 512 << 10;  // bytes
spec::Resources guest_resources(spec::Resources wanted);

// Sets them on the host, and on the cgroup's unit of systemd (empty: none). Of what the guest has no
// counterpart of, what the host cannot do is logged as a warning. Throws.
void apply_host_limits(Cgroup& cgroup, const std::string& unit, const spec::Resources& limits);
// Of a container that joins a VM.
void warn_about_member_io(const std::optional<spec::BlockIoResources>& io);

}  // namespace husk::vm
