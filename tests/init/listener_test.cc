// Seccomp listeners, which only containers on the host have: an agent behind a socket answers calls.
#include <fcntl.h>
#include <seccomp.h>
#include <sys/socket.h>

#include <cerrno>
#include <thread>

#include "libcontainer/base/file.h"
#include "libcontainer/base/message.h"
#include "libcontainer/linux/cgroups.h"
#include "tests/init/container_fixture.h"

namespace husk::test {
namespace {

constexpr std::chrono::seconds kDeadline{20};

// Takes one listener, and answers one call with ENOMEDIUM.
class Agent {
 public:
  explicit Agent(const std::string& folder) {
    UniqueFd dir = open_file(folder, O_PATH | O_DIRECTORY);
    socket_ = listen_at(dir.get(), "agent", SOCK_STREAM);
    thread_ = std::thread([this] { serve(); });
  }
  ~Agent() { finish(); }
  Json finish() {
    if (thread_.joinable()) thread_.join();
    return state_.body;
  }

 private:
  void serve() {
    if (!wait_readable(socket_.get(), 20'000)) return;
    UniqueFd peer(accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!receive_message(peer.get(), state_, kDeadline) || state_.fds.size() != 1) return;
    const int listener = state_.fds[0].get();
    seccomp_notif* call = nullptr;
    seccomp_notif_resp* answer = nullptr;
    if (seccomp_notify_alloc(&call, &answer) != 0) return;
    if (wait_readable(listener, 20'000) && seccomp_notify_receive(listener, call) == 0) {
      answer->id = call->id;
      answer->error = -ENOMEDIUM;
      seccomp_notify_respond(listener, answer);
    }
    seccomp_notify_free(call, answer);
    state_.fds.clear();
  }

  UniqueFd socket_;
  Message state_;
  std::thread thread_;
};

class ListenerTest : public ContainerTest {
 protected:
  ListenerTest() { cgroup_.create(); }
  ~ListenerTest() override { cgroup_.remove(kDeadline); }

  Request notified(const std::string& text) {
    Request r = script(text);
    r.host_cgroup = cgroup_.path();
    spec::Seccomp& s = r.config.linux_->seccomp.emplace();
    s.default_action = "SCMP_ACT_ALLOW";
    s.listener_path = rootfs_ + "/agent";
    s.listener_metadata = "words";
    s.syscalls.push_back({{"mkdir"}, "SCMP_ACT_NOTIFY", {}, {}});
    return r;
  }

  Cgroup cgroup_{"/husk-test-listener-" + std::to_string(getpid())};
};

TEST_F(ListenerTest, AnAgentAnswersCalls) {
  for (bool nnp : {false, true}) {
    unlink((rootfs_ + "/agent").c_str());
    Agent agent(rootfs_);
    Request r = notified("mkdir /tmp/x");
    r.config.process->no_new_privileges = nnp;
    EXPECT_NE(run(r).err.find("No medium found"), std::string::npos);
    const Json state = agent.finish();
    EXPECT_EQ(state.value("metadata", ""), "words");
    EXPECT_EQ(state.value("fds", Json()), Json({"seccompFd"}));
    EXPECT_EQ(state.value("/state/id"_json_pointer, ""), "test");
    EXPECT_EQ(state.value("/state/status"_json_pointer, ""), "creating");
    EXPECT_GT(state.value("pid", 0), 1);
  }
}

TEST_F(ListenerTest, WithoutAnAgentNothingStarts) {
  EXPECT_NE(failure(notified("true")).find("failed to connect with seccomp agent"), std::string::npos);
}

}  // namespace
}  // namespace husk::test
