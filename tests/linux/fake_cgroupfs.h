// What the tests of cgroups share: a cgroupfs made of plain files.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <functional>
#include <map>
#include <string>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "spec/config.h"
#include "tests/base/kind_of.h"

namespace husk {

using Files = std::map<std::string, std::string>;

// A folder that looks like a mounted cgroupfs; the control files are there before the test starts.
class FakeFs {
 public:
  FakeFs() {
    char name[] = "/tmp/husk-cgroup-XXXXXX";
    root_ = mkdtemp(name);
  }
  ~FakeFs() { remove_tree(root_); }
  const std::string& root() const { return root_; }
  void put(const std::string& file, const std::string& text) {
    make_dirs(dir_name(path_join(root_, file)));
    write_file(path_join(root_, file), text, true, 0644);
  }
  std::string get(const std::string& file) const { return read_file(path_join(root_, file)); }

 private:
  std::string root_;
};

struct LimitCase {
  const char* name;
  Files before;  // below the controller's mount (v1) or the group (v2)
  std::function<void(spec::Resources&)> set;
  Files after;
  size_t warnings = 0;
};

}  // namespace husk
