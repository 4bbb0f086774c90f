// A folder under $TMPDIR that is gone after the test.
#pragma once

#include <stdlib.h>

#include <string>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"

namespace husk {

class TempFolder {
 public:
  TempFolder() {
    const char* tmp = getenv("TMPDIR");
    path = std::string(tmp ? tmp : "/tmp") + "/husk-test-XXXXXX";
    if (!mkdtemp(path.data())) throw_errno("mkdtemp");
  }
  ~TempFolder() {
    try {
      remove_tree(path);
    } catch (const Error&) {
    }
  }
  TempFolder(const TempFolder&) = delete;
  TempFolder& operator=(const TempFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_join(path, name); }

  std::string path;
};

}  // namespace husk
