#include <gtest/gtest.h>
#include <signal.h>

#include "libcontainer/base/error.h"
#include "spec/id.h"
#include "spec/signal.h"

namespace husk::spec {
namespace {

TEST(Signal, Parse) {
  const struct {
    const char* text;
    int number;
  } cases[] = {{"9", 9},
               {"0", 0},
               {"64", 64},
               {"KILL", SIGKILL},
               {"SIGKILL", SIGKILL},
               {"sigterm", SIGTERM},
               {"Hup", SIGHUP},
               {"CLD", SIGCHLD},
               {"SIGPOLL", SIGIO},
               {"IOT", SIGABRT},
               {"RTMIN", 34},
               {"SIGRTMIN+3", 37},
               {"rtmax-1", 63},
               {"RTMAX", 64}};
  for (const auto& c : cases) EXPECT_EQ(parse_signal(c.text), c.number) << c.text;
}

TEST(Signal, Unknown) {
  for (const char* text : {"", "SIG", "-1", "65", "9x", " 9", "+9", "FOO", "SIGSIGKILL", "RTMIN+", "RTMIN-1",
                           "RTMIN+31", "RTMAX+1", "RTMIN+-1", "99999999999"}) {
    try {
      parse_signal(text);
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInvalid);
      EXPECT_EQ(e.message(), "unknown signal \"" + std::string(text) + "\"");
    }
  }
}

TEST(Signal, Names) {
  EXPECT_EQ(signal_name(SIGKILL), "SIGKILL");
  EXPECT_EQ(signal_name(SIGCHLD), "SIGCHLD");
  EXPECT_EQ(signal_name(37), "SIGRTMIN+3");
  EXPECT_EQ(signal_name(33), "33");
  for (int number = 0; number <= 64; ++number) EXPECT_EQ(parse_signal(signal_name(number)), number);
}

TEST(Id, Good) {
  for (const std::string& id : {std::string("a"), std::string("A-b_c.d+9"), std::string("a.."),
                                std::string("a."), std::string("-"), std::string(255, 'x')})
    EXPECT_NO_THROW(validate_id(id)) << id;
}

TEST(Id, Bad) {
  const auto message = [](const std::string& id) -> std::string {
    try {
      validate_id(id);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInvalid);
      return e.message();
    }
    return "";
  };
  EXPECT_EQ(message(""), "container id cannot be empty");
  EXPECT_EQ(message(std::string(256, 'x')), "container id is longer than 255 bytes");
  for (const char* id : {".", "..", ".vm", "a/b", "../a", "a b", "a:b", "a@b", "\xc3\xa9"})
    EXPECT_TRUE(message(id).starts_with("invalid id format: \"")) << id;
  EXPECT_EQ(message("a/b"), "invalid id format: \"a/b\"");
  EXPECT_EQ(message("a\nb"), "invalid id format: \"a\\x0ab\"");
}

}  // namespace
}  // namespace husk::spec
