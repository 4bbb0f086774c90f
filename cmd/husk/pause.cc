#include "cmd/husk/commands.h"

namespace husk::cmd {

int pause(Context& context, const Args& args) {
  const Args words = Flags("husk pause ID", "Suspend all processes in a container.").parse(args);
  check_words("pause", words, 1, 1);
  context.load(words[0]).pause();
  return 0;
}

}  // namespace husk::cmd
