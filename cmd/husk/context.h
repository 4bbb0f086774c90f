// What every command of husk's gets: the global flags, and what is made from them when a command asks for it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cmd/husk/flags.h"
#include "libcontainer/base/error.h"
#include "libcontainer/container/backend.h"
#include "libcontainer/container/container.h"
#include "libcontainer/container/store.h"
#include "spec/options.h"

namespace husk::vm {
struct BackendOptions;
}

namespace husk::cmd {

struct Globals {
  std::string root;  // absolute
  std::string log, log_format = "text";
  std::string trace;        // file; empty: none
  std::string config_file;  // empty: the default one, if it is there
  std::string rootless = "auto";
  std::string vm;  // the option "vm"; empty: as the configuration file says
  bool debug = false, systemd_cgroup = false;
};

class Context {
 public:
  // error_code: husk's exit code when the command throws; it outlives the context.
  Context(Globals globals, int& error_code)
      : globals_(std::move(globals)), store_(globals_.root), error_code_(error_code) {}

  const Globals& globals() const { return globals_; }
  const Store& store() const { return store_; }
  void set_error_code(int code) { error_code_ = code; }
  // Both are made at their first use, which reads husk.toml.
  // The one for new containers, as flag and file have it.
  Backend& new_backend();
  // The one that made the container, whatever is asked for now.
  Backend& backend_of(const std::string& id);
  Container load(const std::string& id) { return Container::load(store_, backend_of(id), id); }

 private:
  Globals globals_;
  Store store_;
  int& error_code_;
  std::unique_ptr<Backend> new_backend_, vm_backend_, host_backend_;
};

// Defined in backend_choice.cc: only cmd/husk knows which backends there are.
std::unique_ptr<Backend> choose_backend(const Globals& globals);
std::unique_ptr<Backend> make_backend(const Globals& globals, bool vm);
bool is_in_vm(const ContainerRef& container);

// husk's own options: husk.toml, and the global flags over it.
spec::Options load_options(const Globals& globals);
vm::BackendOptions backend_options(const Globals& globals, spec::Options options);

// Throws kInvalid unless there are `min` to `max` words.
void check_words(const char* command, const Args& words, size_t min, size_t max);

// The fds 3 … that the caller wants passed on: count of them, behind those of socket activation (LISTEN_FDS),
// which are announced in env. Throws kInvalid for one that the caller did not pass.
std::vector<int> take_preserved_fds(uint32_t count, std::vector<std::string>& env);

// stdout, to its end; throws.
void print(const std::string& text);

}  // namespace husk::cmd
