// Real containers on this host: a rootfs of busybox in a temporary folder, husk-init, pipes. Needs root.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "libcontainer/base/fd.h"
#include "libcontainer/init/init_process.h"

namespace husk::test {

// The program to test: $HUSK_INIT, else husk-init beside the test or in ../bin.
InitProgram& husk_init();

struct Result {
  ExitStatus exit;
  std::string out, err;
};

class ContainerTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Docker-like: all namespaces but user, /proc /dev /dev/pts /dev/shm /sys, default capabilities.
  CreateRequest request(std::vector<std::string> args) const;
  // The shell's way of it.
  CreateRequest script(const std::string& text) const { return request({"sh", "-c", text}); }
  Result run(const CreateRequest& request);
  std::string output(const CreateRequest& request) { return run(request).out; }
  Result exec(pid_t target, const CreateRequest& container, spec::Process process);
  // The message of the Error that create() or start() throws; "" if none.
  std::string failure(const CreateRequest& request);
  Result finish(InitProcess& process, UniqueFd out, UniqueFd err);

  std::string dir_, rootfs_;
};

}  // namespace husk::test
