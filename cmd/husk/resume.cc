#include "cmd/husk/commands.h"

namespace husk::cmd {

int resume(Context& context, const Args& args) {
  const Args words = Flags("husk resume ID", "Resume what pause has suspended.").parse(args);
  check_words("resume", words, 1, 1);
  context.load(words[0]).resume();
  return 0;
}

}  // namespace husk::cmd
