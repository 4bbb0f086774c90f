// A guest's RAM as a file with holes.
#pragma once

#include <cstdint>

#include "libcontainer/base/fd.h"

namespace husk::vm {

// A memfd of that size, all holes.
UniqueFd make_ram(uint64_t bytes);
// What is not a hole.
uint64_t ram_bytes(int fd);
// Copies what is not a hole, and of that only pages that are not all zeros, into a file of the same size that
// is all holes. Throws.
void save_ram(int from, int to);
// The same of one that was saved: it has no such pages.
void copy_ram(int from, int to);

}  // namespace husk::vm
