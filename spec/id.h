// Container ids: they name folders, sockets and cgroups, so little is allowed.
#pragma once

#include <string>

namespace husk::spec {

inline constexpr size_t kMaxId = 255;  // NAME_MAX: the id is the name of a folder

// Letters, digits, "_", "+", "-", "."; not a "." in front, which is husk's own folders below the root. Throws
// Error(kInvalid): invalid id format: "x".
void validate_id(const std::string& id);

}  // namespace husk::spec
