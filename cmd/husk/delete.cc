#include "cmd/husk/commands.h"

namespace husk::cmd {

int remove(Context& context, const Args& args) {
  bool force = false;
  Flags flags("husk delete [options] ID", "Delete a container and all that belongs to it.");
  flags.flag("-f,--force", force, "kill it first; fine if it does not exist");
  const Args words = flags.parse(args);
  check_words("delete", words, 1, 1);
  delete_container(context.store(), context.backend_of(words[0]), words[0], force);
  return 0;
}

}  // namespace husk::cmd
