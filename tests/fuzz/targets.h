// The fuzzers: functions that get any bytes, and crash when husk's code does what it must not do with them.
// libFuzzer feeds them in `make fuzz`, corpus_test.cc with what is in corpus/ in every `make check`.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string_view>

#include "spec/config.h"

namespace husk::fuzz {

void config(std::string_view input);  // config.json: decode, validate, encode, and what the guest makes of it
void mount_options(std::string_view input);  // the first line is the type, each other one an option
void user(std::string_view input);  // the first line is that of exec --user, the others are /etc/passwd
void husk_toml(std::string_view input);
void message(std::string_view input);  // on the control socket: the first byte is the number of fds
void qmp(std::string_view input);      // what QEMU says
void binary(std::string_view input);   // a config as bytes (spec/binary.h)
void agent(std::string_view input);    // the first byte chooses what is asked, the rest is its protobuf message

struct Target {
  const char* name;
  void (*run)(std::string_view input);
};

inline constexpr Target kTargets[] = {
    {"config", config},   {"mount_options", mount_options},
    {"user", user},       {"husk_toml", husk_toml},
    {"message", message}, {"qmp", qmp},
    {"agent", agent},     {"binary", binary},
};

// What the code under test promises.
inline void require(bool held, const char* promise) {
  if (held) return;
  fprintf(stderr, "fuzz: broken promise: %s\n", promise);
  abort();
}

// Runs f, which may throw an Error that makes a good line, and nothing else. True if it threw none.
bool allowed_to_fail(const std::function<void()>& f);
// What the guest makes of a config.
void localize(spec::Config& config);

}  // namespace husk::fuzz
