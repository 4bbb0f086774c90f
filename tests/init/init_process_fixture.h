// What the tests of create and of exec share.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "libcontainer/base/fd.h"
#include "tests/init/container_fixture.h"

namespace husk::test {

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}
// A child that nobody has reaped: there must be none after any test.
inline bool no_children() {
  return waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD;
}

// Up to and with `wanted`, or what came until there was nothing for five seconds.
inline std::string read_until(int fd, const std::string& wanted) {
  std::string text;
  char buf[256];
  while (!contains(text, wanted) && wait_readable(fd, 5000)) {
    ssize_t n = read(fd, buf, sizeof buf);
    if (n <= 0) break;
    text.append(buf, static_cast<size_t>(n));
  }
  return text;
}

class InitProcessTest : public ContainerTest {
 protected:
  void TearDown() override {
    ContainerTest::TearDown();
    EXPECT_TRUE(no_children());
  }
};

}  // namespace husk::test
