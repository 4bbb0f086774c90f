#include "spec/id.h"

#include <algorithm>

#include "libcontainer/base/error.h"

namespace husk::spec {

void validate_id(const std::string& id) {
  if (id.empty()) throw Error(ErrorKind::kInvalid, "container id cannot be empty");
  if (id.size() > kMaxId)
    throw Error(ErrorKind::kInvalid, "container id is longer than " + std::to_string(kMaxId) + " bytes");
  // Not isalnum(3): no locale may widen this.
  const bool good = std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '+' || c == '-' || c == '.';
  });
  if (!good || id[0] == '.')
    throw Error(ErrorKind::kInvalid, "invalid id format: \"" + printable(id, 128) + "\"");
}

}  // namespace husk::spec
