// A pty of the container's own devpts as the process's terminal.
#pragma once

#include <optional>
#include <string>

#include "libcontainer/base/fd.h"
#include "libcontainer/base/root.h"
#include "spec/config.h"

namespace husk {

struct Terminal {
  UniqueFd master, slave;
};

// Opens a new pty through `root`'s /dev/pts/ptmx (or /dev/ptmx), sized.
Terminal open_terminal(const Root& root, const std::optional<spec::Box>& size);
// Binds the slave onto /dev/console.
void mount_console(const Root& root, const Terminal& terminal);
// Makes the slave our 0, 1, 2 and our controlling terminal. We have to lead a session already.
void attach_terminal(const Terminal& terminal);

}  // namespace husk
