#include "cmd/husk/context.h"
#include "libcontainer/base/log.h"
#include "spec/options.h"
#include "vm/sandbox/vm_backend.h"

namespace husk::cmd {

std::unique_ptr<Backend> choose_backend(const Globals& globals) {
  const bool given = !globals.config_file.empty();
  vm::BackendOptions options;
  options.root = globals.root;
  options.config_file = given ? globals.config_file : spec::kConfigFile;
  options.options = spec::load_options(options.config_file, given);
  options.log_path = globals.log;
  options.log_format = globals.log_format;
  options.debug = globals.debug;
  if (!globals.debug) spdlog::set_level(spdlog::level::from_str(options.options.log_level));
  return vm::make_vm_backend(std::move(options));
}

}  // namespace husk::cmd
