// Sizes as a person writes them on the command line.
#pragma once

#include <cstdint>
#include <string>

namespace husk::spec {

// "-1", "1048576", "1024k", "50M", "1.5GiB": bytes; units are powers of 1024, as runc has them. Negative
// numbers take no unit. Throws kInvalid.
int64_t parse_size(const std::string& text);

}  // namespace husk::spec
