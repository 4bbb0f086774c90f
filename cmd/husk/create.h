// What create and run have in common.
#pragma once

#include "cmd/husk/context.h"
#include "libcontainer/container/stdio.h"

namespace husk::cmd {

struct CreateFlags {
  std::string bundle = ".";
  std::string console_socket, pid_file;
  bool no_pivot = false, no_new_keyring = false;
  uint32_t preserve_fds = 0;

  void add_to(Flags& flags);
};

// Bundle, stdio and container: what `create` does. `stdio` is set for the caller that stays in the
// foreground.
Container create_container(Context& context, const std::string& id, const CreateFlags& flags, bool detach,
                           std::optional<Stdio>& stdio);

}  // namespace husk::cmd
