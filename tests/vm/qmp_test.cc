#include "vm/qemu/qmp.h"

#include <gtest/gtest.h>

#include "tests/vm/fake_qmp.h"

namespace husk::vm {
namespace {

using std::chrono::milliseconds;

ErrorKind kind_of(const std::function<void()>& f, std::string* text = nullptr) {
  try {
    f();
  } catch (const Error& e) {
    if (text) *text = e.message();
    return e.kind();
  }
  ADD_FAILURE() << "no error";
  return ErrorKind::kInternal;
}

TEST(Qmp, ReturnsWhatTheCommandReturns) {
  FakeQmp server([](const Json& c) { return FakeQmp::ok(c, {{"got", c["arguments"]["x"]}}); });
  Qmp qmp(std::move(server.client));
  EXPECT_FALSE(qmp.negotiated());
  EXPECT_EQ(qmp.execute("echo", {{"x", 7}})["got"], 7);
  EXPECT_TRUE(qmp.negotiated());
  EXPECT_EQ(qmp.execute("echo", {{"x", "\xff"}}).size(), 1u);  // not UTF-8: replaced, not thrown
}

TEST(Qmp, TellsQemusOwnDescription) {
  FakeQmp server([](const Json& c) {
    return Json{{"error", {{"class", "GenericError"}, {"desc", "Bus 'rp9' not found"}}}, {"id", c["id"]}}
               .dump() +
           "\n";
  });
  Qmp qmp(std::move(server.client));
  std::string text;
  EXPECT_EQ(kind_of([&] { qmp.execute("device_add"); }, &text), ErrorKind::kInternal);
  EXPECT_EQ(text, "QMP device_add: Bus 'rp9' not found");
}

TEST(Qmp, CollectsTheLatestEvents) {
  FakeQmp server([](const Json& c) {
    std::string events;
    for (int i = 0; i < 70; ++i) events += "{\"event\": \"E" + std::to_string(i) + "\"}\r\n";
    return events + FakeQmp::ok(c);
  });
  Qmp qmp(std::move(server.client));
  qmp.execute("x");
  std::deque<Json> events = qmp.take_events();
  ASSERT_EQ(events.size(), Qmp::kMaxEvents);
  EXPECT_EQ(events.front()["event"], "E6");
  EXPECT_TRUE(qmp.take_events().empty());
}

TEST(Qmp, ALateReplyIsNotTheNextOnes) {
  std::string late;
  FakeQmp server([&](const Json& c) {
    if (late.empty()) {
      late = FakeQmp::ok(c, {{"late", true}});
      return std::string();
    }
    return late + FakeQmp::ok(c);
  });
  Qmp qmp(std::move(server.client));
  EXPECT_EQ(kind_of([&] { qmp.execute("slow", Json::object(), {}, milliseconds(50)); }), ErrorKind::kTimeout);
  EXPECT_FALSE(qmp.execute("quick").contains("late"));
}

TEST(Qmp, EndOfFileMeansTheGuestDied) {
  FakeQmp* self = nullptr;
  FakeQmp server([&](const Json&) {
    self->hang_up();
    return std::string();
  });
  self = &server;
  Qmp qmp(std::move(server.client));
  EXPECT_EQ(kind_of([&] { qmp.execute("x"); }), ErrorKind::kGuestDied);
  EXPECT_EQ(kind_of([&] { qmp.execute("y"); }), ErrorKind::kGuestDied);
  EXPECT_EQ(kind_of([] { Qmp().execute("z"); }), ErrorKind::kGuestDied);
}

TEST(Qmp, RefusesWhatIsNotQmp) {
  {
    FakeQmp server([](const Json& c) { return FakeQmp::ok(c); }, "220 mail ready\r\n");
    Qmp qmp(std::move(server.client));
    EXPECT_EQ(kind_of([&] { qmp.execute("x"); }), ErrorKind::kInvalid);
  }
  FakeQmp server([](const Json&) { return std::string(Qmp::kMaxLine + 10, 'x'); });
  Qmp qmp(std::move(server.client));
  std::string text;
  EXPECT_EQ(kind_of([&] { qmp.execute("x"); }, &text), ErrorKind::kInvalid);
  EXPECT_NE(text.find("endless"), std::string::npos);
}

TEST(Qmp, SendsAnFd) {
  FakeQmp server([](const Json& c) { return FakeQmp::ok(c); });
  Qmp qmp(std::move(server.client));
  auto [read_end, write_end] = make_pipe();
  qmp.execute("getfd", {{"fdname", "a"}}, {write_end.get()});
  ASSERT_EQ(server.received_fds.size(), 1u);
  write_all(server.received_fds[0].get(), "hi", "pipe");
  write_end.reset();
  server.received_fds.clear();
  EXPECT_EQ(read_all(read_end.get(), 10, "pipe"), "hi");
}

}  // namespace
}  // namespace husk::vm
