// Connections to sockets of the host: by whom, and to which.
#include "vm/sandbox/host_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "libcontainer/base/error.h"
#include "libcontainer/base/message.h"
#include "tests/base/temp_folder.h"

namespace husk::vm {
namespace {

int errno_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.errnum();
  }
  return 0;
}

class HostSocketTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    check(chmod(folder_.path.c_str(), 0755), "chmod");
    dir_ = open_file(folder_.path, O_PATH | O_DIRECTORY);
  }
  // Its file, held as the sandbox holds it.
  UniqueFd make(const std::string& name, int type, mode_t mode = 0666) {
    if (type == SOCK_DGRAM) {
      server_.reset(check(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      strcpy(address.sun_path, (folder_.path + "/" + name).c_str());
      check(bind(server_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), "bind");
    } else {
      server_ = listen_at(dir_.get(), name, type);
    }
    check(fchmodat(dir_.get(), name.c_str(), mode, 0), "chmod");
    return open_at(dir_.get(), name, O_PATH);
  }
  ucred peer_of_next() {
    UniqueFd client(check(accept4(server_.get(), nullptr, nullptr, SOCK_CLOEXEC), "accept"));
    ucred peer{};
    socklen_t size = sizeof peer;
    check(getsockopt(client.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size), "SO_PEERCRED");
    return peer;
  }

  TempFolder folder_;
  UniqueFd dir_, server_;
  const std::atomic<bool> go_on_{false}, stopped_{true};
};

TEST_F(HostSocketTest, TheOtherSideIsToldWhoseItIs) {
  UniqueFd file = make("s", SOCK_STREAM, 0660);
  check(fchownat(dir_.get(), "s", 0, 2002, 0), "chown");
  UniqueFd client = connect_as(file.get(), {1000, 1001, {2002}}, go_on_);
  EXPECT_TRUE(client);
  const ucred peer = peer_of_next();
  EXPECT_EQ(peer.uid, 1000u);
  EXPECT_EQ(peer.gid, 1001u);
  EXPECT_EQ(geteuid(), 0u) << "of the other threads";
  EXPECT_EQ(errno_of([&] { connect_as(file.get(), {1000, 1001, {}}, go_on_); }), EACCES);
  EXPECT_EQ(errno_of([&] { connect_as(file.get(), {0, 0, {}}, go_on_); }), 0);
  // The file is what counts, not its name.
  check(renameat(dir_.get(), "s", dir_.get(), "moved"), "rename");
  EXPECT_EQ(errno_of([&] { connect_as(file.get(), {0, 0, {}}, go_on_); }), 0);
}

TEST_F(HostSocketTest, WhatCannotBeConnectedToIsAnError) {
  UniqueFd file = make("s", SOCK_SEQPACKET);
  EXPECT_FALSE(takes_datagrams(file.get()));
  EXPECT_EQ(errno_of([&] { connect_as(file.get(), {}, go_on_); }), EPROTOTYPE);
  EXPECT_FALSE(wait_readable(server_.get(), 0));
  server_.reset();
  EXPECT_FALSE(takes_datagrams(file.get()));
  EXPECT_EQ(errno_of([&] { connect_as(file.get(), {}, go_on_); }), ECONNREFUSED);
  file = make("d", SOCK_DGRAM);
  EXPECT_TRUE(takes_datagrams(file.get()));
  EXPECT_FALSE(wait_readable(server_.get(), 0));
}

TEST_F(HostSocketTest, AFullQueueIsWaitedForUntilItIsStopped) {
  UniqueFd file = make("s", SOCK_STREAM);
  check(listen(server_.get(), 0), "listen");
  UniqueFd first = connect_as(file.get(), {}, go_on_);
  EXPECT_EQ(errno_of([&] { connect_as(file.get(), {}, stopped_); }), EAGAIN);
}

TEST(Caller, IsOneOfTheContainers) {
  const std::vector<spec::IdMapping> none, some = {{0, 100000, 10}, {10, 5, 1}};
  const auto error = [&](const Caller& caller, const std::vector<spec::IdMapping>& mappings) {
    return errno_of([&] { check_caller(caller, mappings, mappings); });
  };
  EXPECT_EQ(error({0, 0, {0, 7}}, none), 0);
  EXPECT_EQ(error({100009, 5, {100000}}, some), 0);
  for (const Caller& caller :
       {Caller{0, 5, {}}, Caller{5, 0, {}}, Caller{5, 5, {6}}, Caller{100010, 5, {}}, Caller{99999, 5, {}}})
    EXPECT_EQ(error(caller, some), EPERM);
  // To setresuid(2) that means "as it is": root.
  for (const Caller& caller :
       {Caller{UINT32_MAX, 0, {}}, Caller{0, UINT32_MAX, {}}, Caller{0, 0, {UINT32_MAX}}})
    EXPECT_EQ(error(caller, none), EPERM);
}

}  // namespace
}  // namespace husk::vm
