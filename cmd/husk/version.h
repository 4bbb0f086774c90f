#pragma once

#include <string>

#ifndef HUSK_VERSION
#define HUSK_VERSION "0.1.0"
#endif
#ifndef HUSK_COMMIT
#define HUSK_COMMIT "unknown"
#endif

namespace husk::cmd {

// In runc's shape, which dockerd takes apart at its start.
std::string version_text();

}  // namespace husk::cmd
