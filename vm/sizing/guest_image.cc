// Where the guest's kernel and initrd are.
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "vm/sizing/sizing.h"

namespace husk::vm {
namespace {

// Beside the programs once installed, beside their folder in a build tree.
constexpr const char* kFolders[] = {"guest", "../guest"};
constexpr const char* kImages[][2] = {{"vmlinux", "initrd.cpio"}, {"vmlinux-debian", "initrd-debian.cpio"}};

void require(const char* what, const std::string& path) {
  if (!path.empty() && !path_exists(path))
    throw Error(ErrorKind::kNotFound, std::string("option ") + what + ": " + path + ": no such file", ENOENT);
}

}  // namespace

GuestImage find_guest(const spec::Options& options, const std::string& program_dir) {
  require("kernel", options.kernel);
  require("initrd", options.initrd);
  if (!options.kernel.empty() && !options.initrd.empty()) return {options.kernel, options.initrd};
  std::string looked;
  for (const char* relative : kFolders) {
    std::string folder = clean_path(path_join(program_dir, relative));
    for (const auto& image : kImages) {
      // Only what no option names has to be there.
      std::string kernel = options.kernel.empty() ? path_join(folder, image[0]) : options.kernel;
      std::string initrd = options.initrd.empty() ? path_join(folder, image[1]) : options.initrd;
      if (path_exists(kernel) && path_exists(initrd)) return {kernel, initrd};
    }
    looked += (looked.empty() ? "" : ", ") + folder;
  }
  throw Error(ErrorKind::kNotFound,
              "no guest kernel with its initrd in " + looked + " (`make guest` makes them)", ENOENT);
}

}  // namespace husk::vm
