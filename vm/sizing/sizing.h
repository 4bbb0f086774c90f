// vCPUs and memory of a VM from a container's limits and husk's options; and the guest's kernel and initrd.
#pragma once

#include <cstdint>
#include <string>

#include "spec/config.h"
#include "spec/options.h"
#include "vm/machine.h"

namespace husk::vm {

struct Size {
  uint32_t vcpus = 1;
  uint32_t memory_mib = 512;
};

// quota/period rounded up, else the number of CPUs in cpuset.cpus, else options.vcpus; capped by max_vcpus
// (0: host_cpus). Memory: limit rounded up to MiB + memory_overhead, else options.memory; at least 128 MiB,
// and never more than the host has.
Size size_for(const spec::Config& config, const spec::Options& options, uint32_t host_cpus,
              uint64_t host_memory_bytes);

// The machine that husk's options ask for. Throws as find_guest() does.
MachineConfig machine_for(const spec::Options& options, const Size& size);

struct GuestImage {
  std::string kernel, initrd;
};
// The options' paths, or what is found beside the programs: PROGRAM_DIR/guest (installed) or
// PROGRAM_DIR/../guest (a build folder): vmlinux (husk's own) with initrd.cpio, else vmlinux-debian with
// initrd-debian.cpio. Throws kNotFound naming the folders looked into and `make guest`.
GuestImage find_guest(const spec::Options& options, const std::string& program_dir);

}  // namespace husk::vm
