#include "cmd/husk/version.h"

#include "spec/config.h"

namespace husk::cmd {

std::string version_text() {
  return "husk version " HUSK_VERSION "\ncommit: " HUSK_COMMIT "\nspec: " + std::string(spec::kOciVersion) +
         "\ncompiler: g++ " __VERSION__ "\n";
}

}  // namespace husk::cmd
