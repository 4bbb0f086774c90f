// Where a request comes in: what it names is checked.
#pragma once

#include <optional>
#include <string>

#include "agent/guest/pci.h"
#include "agent/guest/process.h"
#include "agent/wire/wire.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/trace.h"
#include "spec/id.h"

namespace husk {

// Ids name folders and cgroups.
inline const std::string& checked_id(const std::string& id) {
  spec::validate_id(id);
  return id;
}

// A process's id; empty is the container's init.
inline const std::string& checked_process_id(const std::string& id) {
  return id.empty() ? id : checked_id(id);
}

// The size of the terminal in a request, where it has one.
template <typename Request>
std::optional<guest::WindowSize> window_of(const Request& request) {
  if (!request.has_window()) return {};
  return guest::WindowSize{request.window().rows(), request.window().columns()};
}

// Where something is plugged into.
inline const std::string& checked_port(const std::string& port) {
  if (!guest::is_pci_address(port))
    throw Error(ErrorKind::kInvalid, "\"" + printable(port) + "\" is no PCI address");
  return port;
}

}  // namespace husk
