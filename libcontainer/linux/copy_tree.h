// tmpcopyup: what a folder holds, copied into another one.
#pragma once

namespace husk {

// Both are open folders (O_RDONLY | O_DIRECTORY). Copies files, folders, symlinks, devices and fifos with
// owner and mode, by fd only, without following symlinks. Throws.
void copy_tree(int from, int to);

}  // namespace husk
