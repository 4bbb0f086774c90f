#include "cmd/husk/commands.h"

namespace husk::cmd {

int start(Context& context, const Args& args) {
  const Args words = Flags("husk start ID", "Run the process of a created container.").parse(args);
  check_words("start", words, 1, 1);
  context.load(words[0]).start();
  return 0;
}

}  // namespace husk::cmd
