// libFuzzer's door: FUZZ_TARGET names which of the targets gets the bytes.
#include <cstdint>
#include <cstring>

#include "tests/fuzz/targets.h"

namespace {

const husk::fuzz::Target& chosen() {
  const char* name = getenv("FUZZ_TARGET");
  for (const husk::fuzz::Target& target : husk::fuzz::kTargets)
    if (name && !strcmp(name, target.name)) return target;
  fprintf(stderr, "FUZZ_TARGET names no target\n");
  exit(2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const husk::fuzz::Target& target = chosen();
  target.run({reinterpret_cast<const char*>(data), size});
  return 0;
}
