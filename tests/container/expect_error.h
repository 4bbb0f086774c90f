#pragma once

#include <gtest/gtest.h>

#include "libcontainer/base/error.h"

namespace husk::test {

// f must throw an Error of this kind whose text holds `text`, in one line.
template <typename F>
void expect_error(ErrorKind kind, const std::string& text, F&& f) {
  try {
    f();
    ADD_FAILURE() << "no error; expected: " << text;
  } catch (const Error& e) {
    EXPECT_EQ(kind, e.kind()) << e.what();
    EXPECT_NE(std::string::npos, e.message().find(text)) << e.what();
    EXPECT_EQ(std::string::npos, e.message().find('\n')) << e.what();
  }
}

}  // namespace husk::test
