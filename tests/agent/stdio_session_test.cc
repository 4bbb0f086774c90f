#include "agent/guest/stdio_session.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <future>
#include <map>
#include <thread>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"

namespace husk::guest {
namespace {

using Kind = Output::Kind;

constexpr StdioSession::Limits kSmall{4 << 10, 16 << 10, 16 << 10, 1 << 20};

InitProgram& husk_init() {
  static InitProgram program(path_join(dir_name(program_dir()), "bin/husk-init"));
  return program;
}

// A shell that joins our own namespaces, with pipes of its own, and a session at them. A Reaper takes every
// zombie of its process, so each test is in one of its own.
class Session {
 public:
  explicit Session(const std::string& script, Streams streams = Streams::kPipes) {
    static auto* reaper = new Reaper;
    ExecRequest request;
    spec::Process process;
    process.args = {"/bin/sh", "-c", script};
    process.env = {"PATH=/usr/bin:/bin"};
    process.cwd = "/";
    process.terminal = streams == Streams::kTerminal;
    request.target = getpid();
    request.no_new_keyring = true;
    process_ = Process::create(*reaper, "p", streams, [&](const StdioFds& stdio) {
      return InitProcess::exec(husk_init(), request, process, {}, stdio);
    });
    session_ = std::make_unique<StdioSession>(process_, kSmall);
    loop_ = std::thread([this] {
      session_->run(
          [this](Output output) {
            if (output.pipe >= 0) {
              output.data.resize(output.in_pipe);
              EXPECT_EQ(read(output.pipe, output.data.data(), output.data.size()),
                        static_cast<ssize_t>(output.in_pipe));
            }
            std::lock_guard lock(mutex_);
            order_ += letter(output.kind);
            got_[output.kind] += output.data;
            changed_.notify_all();
            return true;
          },
          [](ExitStatus status) {
            return Exit{status, false};
          });
      std::lock_guard lock(mutex_);
      over_ = true;
      changed_.notify_all();
    });
  }
  ~Session() {
    process_->kill();
    session_->detach();
    loop_.join();
  }

  Process& process() { return *process_; }
  StdioSession& operator*() { return *session_; }
  StdioSession* operator->() { return session_.get(); }

  // What came of a kind, once it is so much.
  std::string wait(Kind kind, size_t size) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return got_[kind].size() >= size; });
    return got_[kind];
  }
  // The order in which things came: o, e, O, E (their ends), x (exited), c (stdin is closed).
  std::string wait_over() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [&] { return over_; });
    return order_;
  }
  size_t count(Kind kind) {
    std::lock_guard lock(mutex_);
    return got_[kind].size();
  }

 private:
  static std::string letter(Kind kind) {
    static const std::map<Kind, std::string> letters = {{Kind::kStdout, "o"},    {Kind::kStderr, "e"},
                                                        {Kind::kStdoutEof, "O"}, {Kind::kStderrEof, "E"},
                                                        {Kind::kExited, "x"},    {Kind::kStdinClosed, "c"}};
    const auto found = letters.find(kind);
    return found == letters.end() ? "" : found->second;
  }

  std::shared_ptr<Process> process_;
  std::unique_ptr<StdioSession> session_;
  std::thread loop_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Kind, std::string> got_;
  std::string order_;
  bool over_ = false;
};

#define IN_CHILD(...)                                                   \
  if (geteuid() != 0) GTEST_SKIP() << "joining a namespace needs root"; \
  EXPECT_EXIT(                                                          \
      {                                                                 \
        alarm(30);                                                      \
        __VA_ARGS__;                                                    \
        _exit(::testing::Test::HasFailure());                           \
      },                                                                \
      ::testing::ExitedWithCode(0), "")

TEST(StdioSessionDeathTest, StreamsStayApartAndTheEndComesBehindThem) {
  IN_CHILD({
    Session session("cat; echo err >&2; exit 3");
    session.process().start({});
    session->write_stdin("in");
    session->close_stdin();
    const std::string order = session.wait_over();
    EXPECT_EQ(session.wait(Kind::kStdout, 2), "in");
    EXPECT_EQ(session.wait(Kind::kStderr, 4), "err\n");
    EXPECT_GT(order.find('x'), order.find('o')) << order;
    EXPECT_GT(order.find('x'), order.find('e')) << order;
    EXPECT_NE(order.find('O'), std::string::npos) << order;
    EXPECT_NE(order.find('E'), std::string::npos) << order;
  });
}

TEST(StdioSessionDeathTest, OneOutputKeepsItsOrder) {
  IN_CHILD({
    Session session("echo 1; echo 2 >&2; echo 3; echo 4 >&2", Streams::kOneOutput);
    session.process().start({});
    EXPECT_EQ(session.wait(Kind::kStdout, 8), "1\n2\n3\n4\n");
    EXPECT_EQ(session.wait_over().find('E'), 0u);  // there is none from the beginning
  });
}

TEST(StdioSessionDeathTest, OutputStaysInItsWindowAndOtherStreamsGoOn) {
  IN_CHILD({
    Session session("head -c 300000 /dev/zero & while read -r line; do echo $line >&2; done; wait");
    session.process().start({});
    EXPECT_EQ(session.wait(Kind::kStdout, kSmall.output_window).size(), kSmall.output_window);
    for (const char* line : {"a\n", "b\n", "c\n"}) session->write_stdin(line);
    EXPECT_EQ(session.wait(Kind::kStderr, 6), "a\nb\nc\n");
    EXPECT_EQ(session.count(Kind::kStdout), kSmall.output_window);
    session->stdout_taken(1000);
    EXPECT_EQ(session.wait(Kind::kStdout, kSmall.output_window + 1000).size(), kSmall.output_window + 1000);
    session->stdout_taken(1 << 20);
    EXPECT_EQ(session.wait(Kind::kStdout, 2 * kSmall.output_window + 1000).size(),
              2 * kSmall.output_window + 1000);
  });
}

TEST(StdioSessionDeathTest, AtTheEndWhatIsInThePipesComesBesideTheWindow) {
  IN_CHILD({
    Session session("head -c 60000 /dev/zero; head -c 60000 /dev/zero >&2; exit 4");
    session.process().start({});
    EXPECT_EQ(session.wait(Kind::kStdout, 60000).size(), 60000u);
    EXPECT_EQ(session.wait(Kind::kStderr, 60000).size(), 60000u);
    session->stdout_taken(60000);
    session->stderr_taken(60000);
    const std::string order = session.wait_over();
    EXPECT_GT(order.find('x'), order.rfind('e')) << order;
  });
}

TEST(StdioSessionDeathTest, AReaderThatIsGoneIsSeenAsSigpipe) {
  IN_CHILD({
    Session session("yes 2>/dev/null; echo $? >&2");
    session.process().start({});
    session.wait(Kind::kStdout, 1);
    session->close_stdout();
    EXPECT_EQ(session.wait(Kind::kStderr, 4), "141\n");
  });
}

TEST(StdioSessionDeathTest, StdinThatNobodyReadsIsToldOf) {
  IN_CHILD({
    Session session("exec <&-; echo closed; exec sleep 100");
    session.process().start({});
    session.wait(Kind::kStdout, 7);
    session.process().kill();
    const std::string order = session.wait_over();
    EXPECT_LT(order.find('c'), order.find('x')) << order;
  });
}

TEST(StdioSessionDeathTest, MoreStdinThanItsWindowIsRefused) {
  IN_CHILD({
    Session session("sleep 100");
    session.process().start({});
    session->write_stdin(std::string(kSmall.stdin_window, 'x'));
    EXPECT_THROW(for (int i = 0; i < 100; ++i) session->write_stdin(std::string(kSmall.stdin_window, 'x')),
                 Error);
  });
}

TEST(StdioSessionDeathTest, ATerminalHasItsSizeAtTheStartAndHangsUp) {
  IN_CHILD({
    Session session(
        "stty size; trap 'stty size' WINCH; trap 'exit 5' HUP; echo ready; while :; do sleep 0.05; done",
        Streams::kTerminal);
    session.process().start(WindowSize{33, 77});
    EXPECT_EQ(session.wait(Kind::kStdout, 14), "33 77\r\nready\r\n");
    session->resize({44, 88});
    EXPECT_EQ(session.wait(Kind::kStdout, 21), "33 77\r\nready\r\n44 88\r\n");
    session->close_stdout();
    const auto end = session.process().wait(std::chrono::seconds(10));
    ASSERT_TRUE(end);
    EXPECT_EQ(end->code, 5);
  });
}

}  // namespace
}  // namespace husk::guest
