#include "cmd/husk/commands.h"

namespace husk::cmd {
namespace {

[[noreturn]] void refuse(const char* command) {
  throw Error(ErrorKind::kUnsupported, std::string(command) +
                                           " is not supported: CRIU on the host cannot see into a VM, and "
                                           "husk does not call it without one either");
}

}  // namespace

int checkpoint(Context&, const Args&) {
  refuse("checkpoint");
}
int restore(Context&, const Args&) {
  refuse("restore");
}

}  // namespace husk::cmd
