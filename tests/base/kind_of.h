// What kind of error something throws.
#pragma once

#include <gtest/gtest.h>

#include "libcontainer/base/error.h"

namespace husk {

template <typename F>
ErrorKind kind_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.kind();
  }
  ADD_FAILURE() << "nothing was thrown";
  return ErrorKind::kInternal;
}

}  // namespace husk
