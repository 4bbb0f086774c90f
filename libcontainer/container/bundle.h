// A bundle on disk: its config.json, decoded and validated, and its root filesystem's place.
#pragma once

#include <string>

#include "spec/config.h"

namespace husk {

struct Bundle {
  std::string path;         // absolute
  std::string rootfs;       // absolute, an existing folder
  std::string config_text;  // as read
  spec::Config config;

  // Throws kInvalid, naming what is wrong with it.
  static Bundle load(const std::string& path);
};

}  // namespace husk
