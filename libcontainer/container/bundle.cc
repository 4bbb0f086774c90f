#include "libcontainer/container/bundle.h"

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "spec/codec.h"

namespace husk {
namespace {

// Without symlinks: whoever mounts it later has to find it among the mounts.
std::string existing_rootfs(const std::string& bundle, const std::string& path) {
  const std::string asked = path[0] == '/' ? clean_path(path) : clean_path(path_join(bundle, path));
  std::error_code error;
  const std::string rootfs = std::filesystem::canonical(asked, error);
  if (error) {
    if (error.value() == ENOENT)
      throw Error(ErrorKind::kInvalid, "rootfs (\"" + printable(asked) + "\") does not exist", ENOENT);
    throw_errno("rootfs " + printable(asked), error.value());
  }
  if (!std::filesystem::is_directory(rootfs, error))
    throw Error(ErrorKind::kInvalid, "rootfs (\"" + printable(rootfs) + "\") is not a directory", ENOTDIR);
  return rootfs;
}

}  // namespace

Bundle Bundle::load(const std::string& path) {
  Bundle bundle;
  bundle.path = absolute_path(path);
  const std::string file = path_join(bundle.path, "config.json");
  try {
    bundle.config_text = read_file(file);
  } catch (const Error& e) {
    if (e.errnum() == ENOENT)
      throw Error(ErrorKind::kInvalid, "JSON specification file " + printable(file) + " not found", ENOENT);
    throw;
  }
  with_context(file, [&] {
    bundle.config = spec::decode_config(bundle.config_text);
    spec::validate_config(bundle.config);
    if (!bundle.config.process) throw Error(ErrorKind::kInvalid, "process: missing");
    if (!bundle.config.root || bundle.config.root->path.empty())
      throw Error(ErrorKind::kInvalid, "root.path: missing");
  });
  bundle.rootfs = existing_rootfs(bundle.path, bundle.config.root->path);
  return bundle;
}

}  // namespace husk
