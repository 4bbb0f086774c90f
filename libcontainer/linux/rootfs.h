// The container's root: made a mount of its own, completed, and entered. Everything that needs a path of the
// outside happens before switch_root(); after it nothing of the outside can be reached.
#pragma once

#include <string>
#include <vector>

#include "libcontainer/base/root.h"

namespace husk {

// Sets the propagation of all that is mounted (so that no mount of ours reaches the outside, unless "shared"
// is wanted) and binds the rootfs onto itself.
void prepare_rootfs(const std::string& rootfs, const std::string& propagation);
// /dev/fd, /dev/std{in,out,err}, /dev/ptmx.
void link_default_devices(const Root& root);
// Hides files behind /dev/null and folders behind an empty tmpfs. What does not exist is skipped.
void mask_paths(const Root& root, const std::vector<std::string>& paths);
void make_paths_readonly(const Root& root, const std::vector<std::string>& paths);
void make_rootfs_readonly(const Root& root);
// pivot_root(2), or MS_MOVE and chroot(2) where the old root is an initramfs; then the propagation of the new
// "/".
void switch_root(const Root& root, bool no_pivot, const std::string& propagation);

}  // namespace husk
