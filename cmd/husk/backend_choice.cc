#include "cmd/husk/context.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/log.h"
#include "libcontainer/base/rootless.h"
#include "libcontainer/host/host_backend.h"
#include "spec/options.h"
#include "vm/sandbox/vm_backend.h"

namespace husk::cmd {

spec::Options load_options(const Globals& globals) {
  const bool given = !globals.config_file.empty();
  spec::Options options = spec::load_options(given ? globals.config_file : spec::kConfigFile, given);
  if (!globals.debug) spdlog::set_level(spdlog::level::from_str(options.log_level));
  // Saved VMs are as trustworthy as who may write to them: each user has his own.
  if (is_rootless() && options.template_folder == spec::default_options().template_folder)
    options.template_folder = path_join(Store::default_root(), "templates");
  if (!globals.vm.empty()) spec::set_option(options, "vm", globals.vm);
  return options;
}

vm::BackendOptions backend_options(const Globals& globals, spec::Options loaded) {
  vm::BackendOptions options;
  options.root = globals.root;
  options.options = std::move(loaded);
  options.log_path = globals.log;
  options.log_format = globals.log_format;
  if (!globals.trace.empty()) options.trace_path = absolute_path(globals.trace);
  options.debug = globals.debug;
  return options;
}

namespace {

std::unique_ptr<Backend> make(const Globals& globals, spec::Options loaded, bool vm) {
  if (!vm) return host::make_host_backend({path_join(program_dir(), "husk-init")});
  return vm::make_vm_backend(backend_options(globals, std::move(loaded)));
}

}  // namespace

std::unique_ptr<Backend> choose_backend(const Globals& globals) {
  spec::Options options = load_options(globals);
  const bool vm = options.vm != "none";
  // For the log that an administrator reads; a shell's stderr belongs to the container.
  if (!vm && !globals.log.empty())
    spdlog::warn("vm = \"none\": no VM isolates this container, it runs on the host's own kernel");
  return make(globals, std::move(options), vm);
}

std::unique_ptr<Backend> make_backend(const Globals& globals, bool vm) {
  return make(globals, load_options(globals), vm);
}

bool is_in_vm(const ContainerRef& container) {
  return !host::is_host_container(container);
}

}  // namespace husk::cmd
