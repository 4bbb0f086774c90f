// The config's devices as a VM can have them: a block device of the host becomes a disk of the VM; what the
// host's kernel makes of nothing (/dev/null, /dev/fuse, /dev/net/tun) the guest's kernel has, too. Hardware
// is the host's. Runs in husk, outside of the container's cgroup, so its device rules let us open what they
// like.
#pragma once

#include <string>
#include <vector>

#include "libcontainer/base/fd.h"
#include "spec/config.h"

namespace husk::vm {

struct VmDevice {
  std::string path;  // in the container
  std::string name;  // the kernel's, below /dev; or
  UniqueFd disk;     // the host's block device
  std::string key;   // of the disk: "7:0"
  bool readonly = false;
  bool in_use = false;  // on the host, or by a VM: nobody but that VM may have it
};

struct VmDevices {
  std::vector<VmDevice> list;  // of config.linux.devices
  bool all = false;            // and whatever the guest's kernel has: the rules allow everything
};

// Takes those out of the config which are no device of the VM's: where the rules allow everything
// (--privileged) engines list all that the host has. Adds to the rules what they allow of each one that
// stays. Throws kUnsupported, kNotFound ("--device /dev/ttyS0: …").
VmDevices translate_devices(spec::Config& config);

// What the rules allow of a device, of "rwm"; all of it where there are none.
std::string allowed_access(const std::vector<spec::DeviceCgroup>& rules, const spec::Device& device);

}  // namespace husk::vm
