// Names for what a VM is made of: other content, another name.
#pragma once

#include <string>

namespace husk::vm {

// A file, and that it is still the same one: its path, inode, size and time of change. The path alone where
// there is none.
std::string file_identity(const std::string& path);
// 16 hexadecimal digits (FNV-1a).
std::string text_hash(const std::string& text);

}  // namespace husk::vm
