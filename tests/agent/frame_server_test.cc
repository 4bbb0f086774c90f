// The guest's end of the wire, with a guest that has no containers.
#include "agent/server/frame_server.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent/client/agent_client.h"
#include "libcontainer/base/error.h"
#include "tests/base/kind_of.h"

namespace husk {
namespace {

// In a process of its own, as in a guest: its reaper takes every child, and its end is the server's.
UniqueFd serve_in_child(pid_t& child) {
  auto [ours, theirs] = socket_pair(SOCK_STREAM);
  child = fork();
  if (child != 0) return std::move(ours);
  ours.reset();
  alarm(60);
  static guest::Reaper reaper;
  static InitProgram no_program("/nonexistent");
  static guest::Guest guest(reaper, no_program);
  static FrameServer server(guest);
  server.serve(std::move(theirs), {}, [] { _exit(0); });
  for (;;) pause();
}

// (…DeathTest: before other tests have made threads, with which a fork is not for TSan.)
TEST(FrameServerDeathTest, AnswersRefusesAndEndsWithItsHost) {
  pid_t child = -1;
  UniqueFd socket = serve_in_child(child);
  {
    AgentClient client(std::move(socket));
    EXPECT_TRUE(client.containers().empty());
    EXPECT_EQ(kind_of([&] { client.stats("none"); }), ErrorKind::kNotFound);
    EXPECT_EQ(kind_of([&] { client.exec("none", "p", {}, {}); }), ErrorKind::kNotFound);
    EXPECT_EQ(kind_of([&] { client.listen(GuestPort{"", INADDR_LOOPBACK, 0, true}); }), ErrorKind::kInvalid);
    client.signal_process("none", "", 9);
    client.refuse(7);
    auto [host, ours] = socket_pair(SOCK_STREAM);
    EXPECT_FALSE(client.carry(7)->run(std::move(ours)));
    EXPECT_TRUE(client.containers().empty()) << "it still listens";
  }
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace husk
