#include <gtest/gtest.h>
#include <signal.h>

#include <future>
#include <thread>

#include "agent/client/agent_client.h"
#include "libcontainer/base/message.h"
#include "tests/agent/fake_agent.h"

namespace husk {
namespace {

using testing::FakeAgent;
using testing::FakeSession;
using Event = AttachStream::Event;

// Runs f, which must throw an Error, and returns it.
template <typename F>
Error error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  ADD_FAILURE() << "nothing was thrown";
  return Error(ErrorKind::kInternal, "");
}

const Error kOtherwise(ErrorKind::kInternal, "the call failed");

TEST(Errors, KeepKindErrnoAndText) {
  for (ErrorKind kind : {ErrorKind::kInternal, ErrorKind::kInvalid, ErrorKind::kNotFound, ErrorKind::kExists,
                         ErrorKind::kWrongState, ErrorKind::kPermission, ErrorKind::kTimeout,
                         ErrorKind::kUnsupported, ErrorKind::kGuestDied}) {
    const Error e = wire::decode_error(wire::encode_error(Error(kind, "exec: \"x\": não\n", 13)), kOtherwise);
    EXPECT_EQ(e.kind(), kind);
    EXPECT_EQ(e.errnum(), 13);
    EXPECT_EQ(e.message(), "exec: \"x\": não\\x0a");
  }
}

TEST(Errors, TheGuestsWordsAreOneLine) {
  const std::string json = error_to_json(Error(ErrorKind::kInternal, "a\nb\x1b[2J")).dump();
  EXPECT_EQ(wire::decode_error(json, kOtherwise).message(), "a\\x0ab\\x1b[2J");
}

TEST(Errors, WhatIsNoneIsAPlainFailure) {
  for (const char* json : {"{", "[]", "{\"error\":5}", "{\"error\":{\"errno\":\"x\"}}", "\xff\xfe"})
    EXPECT_EQ(wire::decode_error(json, kOtherwise).kind(), ErrorKind::kInternal);
}

class ClientTest : public ::testing::Test {
 protected:
  FakeAgent fake_;
  AgentClient client_{fake_.start()};
};

TEST_F(ClientTest, HelloAndCalls) {
  EXPECT_EQ(client_.hello("box", "debug").kernel_release, "6.1.0-fake");
  client_.mount_share("rootfs", false);
  client_.start_container("c1", {});
  client_.signal_process("c1", "p1", SIGTERM);
  client_.signal_all("c1", SIGHUP);
  client_.remove_container("c1");
  EXPECT_EQ(fake_.calls(), (std::vector<std::string>{"Hello", "MountShare rootfs", "StartContainer c1",
                                                     "SignalProcess c1/p1 15", "SignalProcess c1/ 1 all",
                                                     "RemoveContainer c1"}));
}

TEST_F(ClientTest, AnotherProtocolIsRefused) {
  fake_.protocol_version = 99;
  EXPECT_EQ(error_of([&] { client_.hello("", ""); }).kind(), ErrorKind::kUnsupported);
}

TEST_F(ClientTest, AnErrorOfTheGuestArrivesWhole) {
  // As large as one that quotes a config.
  const Error large(ErrorKind::kNotFound, std::string(20000, 'x'), ENOENT);
  fake_.fail("StartContainer", large);
  fake_.fail("PauseContainer", large);
  for (const Error& e :
       {error_of([&] { client_.start_container("c1", {}); }), error_of([&] { client_.pause("c1"); })}) {
    EXPECT_EQ(e.kind(), ErrorKind::kNotFound);
    EXPECT_EQ(e.errnum(), ENOENT);
    EXPECT_EQ(e.message(), std::string(8192, 'x'));
  }
}

TEST_F(ClientTest, TheGuestsWarningsAreFewAndShort) {
  fake_.create_warnings.assign(100, std::string(2000, '\n'));
  fake_.create_warnings[0] = "memory: no such file";
  const std::vector<std::string> warnings = client_.create_container("c1", {}, {}).warnings;
  ASSERT_EQ(warnings.size(), 64u);
  EXPECT_EQ(warnings[0], "memory: no such file");
  EXPECT_LT(warnings[1].size(), 4200u);
}

TEST_F(ClientTest, GuestDeath) {
  client_.hello("", "");
  auto stream = client_.create_container("c1", {}, {}).stream;
  auto reading = std::async(std::launch::async, [&] {
    AttachStream::Output out;
    return error_of([&] { stream->read(out); }).kind();
  });
  fake_.die();
  EXPECT_EQ(reading.get(), ErrorKind::kGuestDied);
  EXPECT_FALSE(stream->write_stdin("x"));
  EXPECT_FALSE(stream->resize(1, 1));
  EXPECT_EQ(error_of([&] { client_.pause("c1"); }).kind(), ErrorKind::kGuestDied);
}

TEST_F(ClientTest, AttachIsByteExact) {
  std::string data(wire::kMaxRest, '\0');  // as much as may come before any of it is taken
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 2654435761u >> 13);
  auto stream = client_.exec("c1", "p", {}, {});
  std::thread writer([&] {
    EXPECT_TRUE(stream->write_stdin(data));
    EXPECT_TRUE(stream->close_stdin());
  });
  std::string back;
  std::vector<Event> ends;
  AttachStream::Output out;
  while (stream->read(out)) {
    if (out.event == Event::kStdout)
      back += out.data;
    else
      ends.push_back(out.event);
  }
  writer.join();
  EXPECT_TRUE(back == data);
  EXPECT_EQ(ends, (std::vector<Event>{Event::kExited, Event::kStdoutEof, Event::kStderrEof}));
  EXPECT_FALSE(stream->read(out));
  EXPECT_FALSE(stream->write_stdin("x"));
}

TEST_F(ClientTest, InputThatNobodyTakesDoesNotHoldTheRestUp) {
  std::promise<void> closed;
  fake_.on_attach = [&](FakeSession& session) {
    agent::Input in;
    while (session.read(in))
      if (in.has_stdout_closed()) {
        closed.set_value();
        break;
      }
    FakeAgent::end(session, 0, SIGPIPE);
  };
  auto stream = client_.create_container("c1", {}, {}).stream;
  auto writer =
      std::async(std::launch::async, [&] { return stream->write_stdin(std::string(4 << 20, 'x')); });
  EXPECT_EQ(writer.wait_for(std::chrono::milliseconds(200)), std::future_status::timeout);
  EXPECT_TRUE(stream->close_stdout());
  closed.get_future().wait();
  AttachStream::Output out;
  ASSERT_TRUE(stream->read(out));
  EXPECT_EQ(out.event, Event::kExited);
  EXPECT_EQ(out.status.signal, SIGPIPE);
  EXPECT_FALSE(writer.get());
}

TEST_F(ClientTest, OutputThatIsTakenIsToldOfInLargePieces) {
  std::promise<size_t> told;
  fake_.on_attach = [&](FakeSession& session) {
    agent::Input in;
    const std::string chunk(wire::kMaxChunk, 'x');
    for (size_t sent = 0; sent < wire::kOutputWindow; sent += chunk.size())
      session.say(wire::FrameKind::kStdout, chunk);
    size_t messages = 0, taken = 0;
    while (taken < wire::kOutputWindow && session.read(in)) {
      ++messages;
      taken += in.stdout_taken();
    }
    told.set_value(messages);
    FakeAgent::end(session, 0);
  };
  auto stream = client_.create_container("c1", {}, {}).stream;
  AttachStream::Output out;
  for (size_t read = 0; read < wire::kOutputWindow; read += out.data.size()) {
    ASSERT_TRUE(stream->read(out));
    for (size_t i = 0; i < out.data.size(); i += 1024) EXPECT_TRUE(stream->stdout_taken(1024));
  }
  EXPECT_EQ(told.get_future().get(), 2u);
}

TEST_F(ClientTest, MoreOutputThanTheWindowIsAnError) {
  fake_.on_attach = [&](FakeSession& session) {
    const std::string chunk(wire::kMaxChunk, 'x');
    while (session.say(wire::FrameKind::kStderr, chunk)) {
    }
  };
  auto stream = client_.create_container("c1", {}, {}).stream;
  size_t read = 0;
  AttachStream::Output out;
  const Error e = error_of([&] {
    while (stream->read(out)) read += out.data.size();
  });
  EXPECT_EQ(e.kind(), ErrorKind::kInvalid);
  EXPECT_EQ(read, wire::kOutputWindow + wire::kMaxRest);
}

TEST_F(ClientTest, WhatIsSaidTwiceOrBehindItsEndIsAnError) {
  const auto say_end = [](FakeSession& session) {
    agent::Output out;
    out.mutable_stdout_eof();
    session.say(out);
  };
  const auto say_exit = [](FakeSession& session) {
    agent::Output out;
    out.mutable_exited();
    session.say(out);
  };
  const std::function<void(FakeSession&)> wrong[] = {
      [&](FakeSession& s) { say_end(s), say_end(s); },
      [&](FakeSession& s) { say_exit(s), say_exit(s); },
      [&](FakeSession& s) { say_end(s), s.say(wire::FrameKind::kStdout, "x"); },
      [&](FakeSession& s) { s.say(wire::FrameKind::kStderr, ""); },
  };
  for (const auto& say : wrong) {
    fake_.on_attach = [&](FakeSession& session) {
      say(session);
      wire::Frame frame;
      while (session.read(frame)) {
      }
    };
    auto stream = client_.exec("c1", "p", {}, {});
    AttachStream::Output out;
    EXPECT_EQ(error_of([&] {
                while (stream->read(out)) {
                }
              }).kind(),
              ErrorKind::kInvalid);
  }
}

TEST_F(ClientTest, CancelReturnsABlockedRead) {
  auto stream = client_.create_container("c1", {}, {}).stream;
  std::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stream->cancel();
  });
  AttachStream::Output out;
  EXPECT_THROW(stream->read(out), Error);
  canceller.join();
}

TEST_F(ClientTest, ARefusedExecThrows) {
  fake_.fail("exec", Error(ErrorKind::kNotFound, "container c1 does not exist"));
  Error e = error_of([&] { client_.exec("c1", "p", {}, {}); });
  EXPECT_EQ(e.kind(), ErrorKind::kNotFound);
  EXPECT_EQ(e.message(), "container c1 does not exist");
}

TEST_F(ClientTest, TheGuestsTraceIsByTheHostsClock) {
  fake_.trace_clock_ns = 5'000'000'000;
  fake_.events_json = R"([{"program": "husk-agent", "thread": "", "name": "Hello", "pid": 1, "tid": 2,
                           "begin": 4999999000, "end": 5000000000}])";
  const int64_t before = trace::now();
  const std::vector<trace::Event> events = client_.take_trace();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_GE(events[0].end_ns, before);
  EXPECT_LE(events[0].end_ns, trace::now());
  EXPECT_EQ(events[0].end_ns - events[0].begin_ns, 1000);
}

TEST_F(ClientTest, ChangesOfFiles) {
  EXPECT_TRUE(client_.notify_changes({{"/v", "a\xff", 2}, {"/w", "", 4}}));
  EXPECT_EQ(fake_.calls().back(), "NotifyChanges /v:a\xff:2;/w::4;");
  fake_.fail("NotifyChanges", Error(ErrorKind::kUnsupported, "no driver"));
  EXPECT_EQ(error_of([&] { client_.notify_changes({}); }).kind(), ErrorKind::kUnsupported);
}

TEST_F(ClientTest, AGuestsBrokenTraceIsAnError) {
  for (const char* events : {"", "{}", R"([{"name": 5}])"}) {
    fake_.events_json = events;
    EXPECT_EQ(error_of([&] { client_.take_trace(); }).kind(), ErrorKind::kInvalid) << events;
  }
}

}  // namespace
}  // namespace husk
