#pragma once

#include <stdlib.h>

#include <string>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"

namespace husk::test {

// A folder that is gone with its test.
class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/husk-test-XXXXXX";
    if (!mkdtemp(name)) throw_errno("mkdtemp");
    path_ = name;
  }
  ~TempDir() { remove_tree(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_join(path_, name); }

 private:
  std::string path_;
};

}  // namespace husk::test
