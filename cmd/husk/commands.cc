#include "cmd/husk/commands.h"

namespace husk::cmd {
namespace {

constexpr Command kCommands[] = {
    {"create", "create a container", create},
    {"start", "run the process of a created container", start},
    {"run", "create and start a container", run},
    {"state", "print the state of a container as JSON", state},
    {"kill", "send a signal to a container's init process", kill},
    {"delete", "delete a container and all that belongs to it", remove},
    {"exec", "run another process in a container", exec},
    {"list", "list the containers under the root", list},
    {"ps", "list the processes in a container", ps},
    {"pause", "suspend all processes in a container", pause},
    {"resume", "resume what pause has suspended", resume},
    {"update", "change the resource limits of a container", update},
    {"events", "print a container's statistics", events},
    {"spec", "write a new config.json", spec_command},
    {"features", "print what husk supports as JSON", features},
    {"template", "make, show or remove the VMs that containers start from", template_command},
    {"pool", "keep VMs ready that a container can take at once", pool_command},
    {"checkpoint", "not supported", checkpoint},
    {"restore", "not supported", restore},
};

}  // namespace

const Command* find_command(const std::string& name) {
  for (const Command& command : kCommands)
    if (name == command.name) return &command;
  return nullptr;
}

std::string command_list() {
  std::string out = "Commands:\n";
  for (const Command& command : kCommands) {
    std::string name = std::string("  ") + command.name;
    name.resize(14, ' ');
    out += name + command.help + "\n";
  }
  return out + "\n`husk help COMMAND` or `husk COMMAND --help` tells more, and so does husk(8).";
}

}  // namespace husk::cmd
