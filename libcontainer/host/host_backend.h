// The door of libcontainer/container without a VM: husk-init makes the container on this very kernel, as runc
// does. Chosen only explicitly, since nothing but the kernel's own namespaces isolates then.
#pragma once

#include <memory>
#include <string>

#include "libcontainer/container/backend.h"

namespace husk::host {

struct HostOptions {
  std::string init_program;  // husk-init
};

std::unique_ptr<Backend> make_host_backend(HostOptions options);

// Whether this backend has made the container: who chose it at create need not say so ever after.
bool is_host_container(const ContainerRef& container);

}  // namespace husk::host
