// What create and exec do alike: from "namespaces and root are right" to execve. Internal to this folder.
#pragma once

#include <string>

#include "libcontainer/init/control.h"
#include "libcontainer/linux/terminal.h"

namespace husk {

// Compiles the filter unless the parent sent it compiled.
void prepare_seccomp(InitRequest& request);
// Priorities that are set from outside the container: OOM score, scheduler, I/O priority, initial CPUs.
void apply_outer_attributes(const InitRequest& request);

// Limits, user, capabilities, folder, no_new_privs; then finds args[0]. After it this process is what the
// user asked for, but for the program it runs. Returns the file to execute.
struct Program {
  std::string file;
  std::vector<std::string> env;
  bool filtered = false;  // its filter is loaded
};
Program become_process(InitRequest& request);

// The gate: "ready", then waits for "start"; then the filter, where no_new_privs lets it come this late: the
// start's hooks run under it, too.
void stand_at_gate(InitRequest& request, const Program& program);

// CPUs, fds, execve. Throws when execve fails.
[[noreturn]] void execute(InitRequest& request, const Program& program);

// runc's words, which engines turn into exit codes 126 and 127.
std::string find_program(const std::string& name, const std::vector<std::string>& env);

}  // namespace husk
