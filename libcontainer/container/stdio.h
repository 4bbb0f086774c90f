// A process's stdin, stdout and stderr on this side: what husk inherited, or a pseudoterminal made for it.
#pragma once

#include <sys/ioctl.h>

#include <optional>
#include <string>

#include "libcontainer/base/fd.h"
#include "libcontainer/container/backend.h"
#include "spec/config.h"

namespace husk {

struct Pty {
  UniqueFd master, slave;
  std::string name;  // "/dev/pts/N"
};
// A new pair, close-on-exec, the slave not our controlling terminal. Throws.
Pty open_pty();

struct StdioOptions {
  bool terminal = false;
  std::string console_socket;  // who gets the master; empty: husk itself
  bool detach = true;          // husk ends before the process does
  std::optional<spec::Box> console_size;
  bool made_inside = false;  // the backend makes the pty: Backend::on_this_kernel()
};

class Stdio {
 public:
  // Inherited fds, or a pty (of the host, or one that comes to on_console) whose master went to the console
  // socket, or (in the foreground) a pty whose master husk keeps. Throws kInvalid for combinations that leave
  // nobody to hold the master.
  explicit Stdio(const StdioOptions& options);

  // Holds `this` where the pty is made inside.
  HostStdio host();
  // husk's own master, -1 when there is none.
  int master() const { return pty_.master.get(); }
  // Once the process has the slave: only when ours is closed does the master see the end.
  void close_slave() { pty_.slave.reset(); }

 private:
  void take_master(UniqueFd master, const std::string& name);

  StdioOptions options_;
  Pty pty_;
};

// The terminal that husk itself was called from (stdin, else stdout, else stderr), or -1.
int own_terminal();

}  // namespace husk
