// Runs a test's body in a forked child with a mount namespace of its own: nothing it mounts outlives it.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "vm/share/share.h"

namespace husk::vm {

// For the child, where gtest's macros tell nobody.
inline void require(bool condition, const std::string& what) {
  if (!condition) throw Error(ErrorKind::kInternal, "expected: " + what);
}

// Empty, or what went wrong.
inline std::string in_child(const std::function<void()>& body) {
  auto [ours, theirs] = make_pipe();
  pid_t pid = fork();
  if (pid == 0) {
    try {
      enter_private_mount_namespace();
      body();
    } catch (const std::exception& e) {
      write_all(theirs.get(), e.what(), "pipe");
    }
    _exit(0);
  }
  theirs.reset();
  std::string result = read_all(ours.get(), 1u << 20, "pipe");
  int status = 0;
  waitpid(pid, &status, 0);
  return status == 0 ? result : result + " (the child ended with status " + std::to_string(status) + ")";
}

}  // namespace husk::vm
