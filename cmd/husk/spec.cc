#include <linux/magic.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "cmd/husk/commands.h"
#include "cmd/husk/json_text.h"
#include "libcontainer/base/file.h"
#include "spec/codec.h"

namespace husk::cmd {

namespace {

bool is_cgroup_v2() {
  struct statfs fs;
  return statfs("/sys/fs/cgroup", &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC;
}

}  // namespace

int spec_command(Context& context, const Args& args) {
  std::string bundle = ".";
  bool rootless = false;
  Flags flags("husk spec [options]", "Write a new config.json, for a shell, into the bundle.");
  flags.text("-b,--bundle", bundle, "folder to write to (default: the current one)")
      .flag("--rootless", rootless, "with a user namespace for the calling user");
  check_words("spec", flags.parse(args), 0, 0);
  const std::string path = path_join(bundle, "config.json");
  if (path_exists(path)) throw Error(ErrorKind::kExists, "File config.json exists. Remove it first");
  const bool cgroup_v2 = !context.new_backend().on_this_kernel() || is_cgroup_v2();
  spec::Config config = spec::default_config(rootless, geteuid(), getegid(), cgroup_v2);
  // A VM cannot share the host's network, which a user cannot leave without losing it.
  if (rootless && !context.new_backend().on_this_kernel())
    config.linux_->namespaces.push_back({spec::NamespaceType::kNetwork, ""});
  write_file(path, json_text(spec::encode_config(config), 4) + "\n", true, 0666);
  return 0;
}

}  // namespace husk::cmd
