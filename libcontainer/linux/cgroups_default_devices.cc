// The devices that any container may use.
#include "libcontainer/linux/cgroups.h"

namespace husk {

std::vector<spec::DeviceCgroup> with_default_rules(std::vector<spec::DeviceCgroup> rules) {
  const std::vector<spec::DeviceCgroup>& more = default_device_rules();
  if (!rules.empty()) rules.insert(rules.end(), more.begin(), more.end());
  return rules;
}

spec::Resources with_default_devices(spec::Resources resources) {
  resources.devices = with_default_rules(std::move(resources.devices));
  return resources;
}

spec::Resources first_resources(const spec::Config& config) {
  spec::Resources resources;
  if (config.linux_ && config.linux_->resources) resources = *config.linux_->resources;
  if (resources.devices.empty()) resources.devices.emplace_back();  // nothing is allowed
  return resources;
}

const std::vector<spec::DeviceCgroup>& default_device_rules() {
  static const std::vector<spec::DeviceCgroup> kRules = [] {
    std::vector<spec::DeviceCgroup> rules;
    auto allow = [&](const char* type, std::optional<int64_t> major, std::optional<int64_t> minor,
                     const char* access) {
      rules.push_back({true, type, major, minor, access});
    };
    allow("c", {}, {}, "m");
    allow("b", {}, {}, "m");
    for (int minor : {3, 5, 7, 8, 9}) allow("c", 1, minor, "rwm");  // null, zero, full, random, urandom
    for (int minor : {0, 1, 2}) allow("c", 5, minor, "rwm");        // tty, console, ptmx
    allow("c", 136, {}, "rwm");                                     // pts/*
    allow("c", 10, 200, "rwm");                                     // net/tun
    return rules;
  }();
  return kRules;
}

}  // namespace husk
