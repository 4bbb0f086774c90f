#include "cmd/husk/commands.h"
#include "cmd/husk/json_text.h"

namespace husk::cmd {

int state(Context& context, const Args& args) {
  const Args words = Flags("husk state ID", "Print the state of a container as JSON.").parse(args);
  check_words("state", words, 1, 1);
  print(json_text(context.load(words[0]).state(), 2) + "\n");
  return 0;
}

}  // namespace husk::cmd
