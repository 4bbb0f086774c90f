#include "cmd/husk/commands.h"
#include "cmd/husk/notify.h"

namespace husk::cmd {

int start(Context& context, const Args& args) {
  const Args words = Flags("husk start ID", "Run the process of a created container.").parse(args);
  check_words("start", words, 1, 1);
  Container container = context.load(words[0]);
  Notify notify(context, words[0]);
  container.start();
  notify.wait(container.record().init.pid);
  return 0;
}

}  // namespace husk::cmd
