// The config's devices, whose numbers are the host's, as this kernel has them.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "spec/config.h"

namespace husk::guest {

// Where one of linux.devices comes from.
struct DeviceSource {
  std::string path;  // in the config
  std::string name;  // what this kernel calls it, below /dev; or
  std::string port;  // the PCI address of the port that its disk is plugged into
};

// {type, number on the host} → number here.
using DeviceNumber = std::pair<int64_t, int64_t>;
using DeviceNumbers = std::map<std::pair<std::string, DeviceNumber>, DeviceNumber>;

// Gives the config's devices and the rules for them their numbers here; waits for disks. all: adds what this
// kernel has beside them, but no disks. Throws kUnsupported ("--device /dev/kvm: …") for one that this kernel
// does not have, kTimeout.
DeviceNumbers localize_devices(spec::Config& config, const std::vector<DeviceSource>& sources, bool all);
// Rules that name a device of the host's by number name this kernel's.
void localize_rules(std::vector<spec::DeviceCgroup>& rules, const DeviceNumbers& numbers);

}  // namespace husk::guest
