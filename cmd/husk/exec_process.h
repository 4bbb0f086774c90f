// The process that exec runs: from --process, or the container's own with what the flags change.
#pragma once

#include <string>
#include <vector>

#include "cmd/husk/flags.h"
#include "spec/config.h"

namespace husk::cmd {

struct ProcessFlags {
  std::string cwd, user;  // empty: the container's
  std::string process_label, apparmor;
  std::vector<std::string> env, caps;
  std::vector<uint32_t> additional_gids;
  bool tty = false, no_new_privs = false;

  void add_to(Flags& flags);
};

// Throws kInvalid.
spec::Process build_process(spec::Process base, const ProcessFlags& flags, const Args& args);
// Of what exec's --process leaves out, the container's own: capabilities and oomScoreAdj (as runc).
void fill_from(spec::Process& process, const spec::Process& container);
// "UID" or "UID:GID".
void set_user(spec::User& user, const std::string& text);

}  // namespace husk::cmd
