#include "cmd/husk/commands.h"
#include "spec/signal.h"

namespace husk::cmd {

int kill(Context& context, const Args& args) {
  bool all = false;
  Flags flags("husk kill [options] ID [SIGNAL]",
              "Send a signal (a name or a number, default SIGTERM) to a container's init process.");
  flags.flag("-a,--all", all, "to all processes of the container; also to a stopped one's");
  const Args words = flags.parse(args);
  check_words("kill", words, 1, 2);
  const bool given = words.size() > 1 && !words[1].empty();
  const int signal = spec::parse_signal(given ? words[1] : "SIGTERM");
  context.load(words[0]).kill(signal, all);
  return 0;
}

}  // namespace husk::cmd
