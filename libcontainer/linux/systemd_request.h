// What husk asks husk-systemd, and the answer: a message each, over the socket that is its stdin.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/message.h"
#include "libcontainer/linux/systemd_property.h"

namespace husk {

struct SystemdRequest {
  enum class Verb { kStart, kSet, kStop };
  Verb verb = Verb::kStop;
  std::string unit;
  // kStart: husk-systemd itself is the unit's first process, since systemd makes no scope without one and
  // drops an empty one. It stays until its stdin ends.
  bool hold = false;
  std::vector<UnitProperty> properties;  // kStart, kSet
  std::chrono::milliseconds timeout = deadline::kSystemdJob;
};

Json to_json(const SystemdRequest& request);
SystemdRequest systemd_request_from_json(const Json& json);  // throws kInvalid

// The answer is {"control_group": PATH} ("" unless kStart), or an error (base/message.h).

}  // namespace husk
