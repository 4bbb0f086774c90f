// The door of libcontainer/container, implemented by a VM: runs in husk and talks to husk-sandbox over its
// control socket. Links no protobuf.
#pragma once

#include <memory>
#include <string>

#include "libcontainer/container/backend.h"
#include "spec/options.h"
#include "vm/sandbox/control.h"
#include "vm/sizing/sizing.h"

namespace husk::vm {

struct BackendOptions {
  std::string root;  // ROOT, where the containers' folders are
  spec::Options options;
  std::string log_path, log_format;
  std::string trace_path;  // absolute, or empty
  bool debug = false;
};

// For a VM of this size; without folder, container, template and trace.
BootRequest boot_request(const BackendOptions& options, const Size& size);

std::unique_ptr<Backend> make_vm_backend(BackendOptions options);

}  // namespace husk::vm
