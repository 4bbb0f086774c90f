// Real containers on this host: a rootfs of busybox in a temporary folder, husk-init, pipes. Needs root.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "libcontainer/base/fd.h"
#include "libcontainer/init/init_process.h"
#include "tests/base/temp_folder.h"

namespace husk::test {

// The program to test: $HUSK_INIT, else husk-init beside the test or in ../bin.
InitProgram& husk_init();

struct Result {
  ExitStatus exit;
  std::string out, err;
};

struct Request : CreateRequest {
  spec::Config config;
};

class ContainerTest : public testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Docker-like: all namespaces but user, /proc /dev /dev/pts /dev/shm /sys, default capabilities.
  Request request(std::vector<std::string> args) const;
  // The shell's way of it.
  Request script(const std::string& text) const { return request({"sh", "-c", text}); }
  InitProcess create(const Request& request, const StdioFds& stdio = {});
  Result run(const Request& request);
  std::string output(const Request& request) { return run(request).out; }
  Result exec(pid_t target, const Request& container, const spec::Process& process);
  // The message of the Error that create() or start() throws; "" if none.
  std::string failure(const Request& request);
  Result finish(InitProcess& process, UniqueFd out, UniqueFd err);

  TempFolder folder_;
  const std::string dir_ = folder_.path;
  std::string rootfs_;
};

}  // namespace husk::test
