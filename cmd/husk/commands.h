// The table of husk's commands.
#pragma once

#include "cmd/husk/context.h"

namespace husk::cmd {

struct Command {
  const char* name;
  const char* help;
  int (*run)(Context& context, const Args& args);  // returns husk's exit code
};

// Null when there is none of this name.
const Command* find_command(const std::string& name);
// A line for each, for `husk --help`.
std::string command_list();

int create(Context& context, const Args& args);
int start(Context& context, const Args& args);
int run(Context& context, const Args& args);
int state(Context& context, const Args& args);
int kill(Context& context, const Args& args);
int remove(Context& context, const Args& args);  // `husk delete`
int exec(Context& context, const Args& args);
int list(Context& context, const Args& args);
int ps(Context& context, const Args& args);
int pause(Context& context, const Args& args);
int resume(Context& context, const Args& args);
int update(Context& context, const Args& args);
int events(Context& context, const Args& args);
int spec_command(Context& context, const Args& args);
int features(Context& context, const Args& args);
int template_command(Context& context, const Args& args);
int pool_command(Context& context, const Args& args);
int checkpoint(Context& context, const Args& args);
int restore(Context& context, const Args& args);

}  // namespace husk::cmd
