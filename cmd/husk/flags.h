// The flags of one command. CLI11 behind a door, so that one file pays for its header, and only the flags of
// the command that was called are ever made.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace husk::cmd {

using Args = std::vector<std::string>;

// Thrown by parse() for --help: the text to print.
struct HelpShown {
  std::string text;
};

class Flags {
 public:
  // usage: "husk create [options] ID".
  Flags(const std::string& usage, const std::string& about);
  ~Flags();

  // names as in CLI11: "-b,--bundle", a long one each. The targets keep their value when the flag isn't
  // given.
  Flags& flag(const char* names, bool& target, const char* help);
  Flags& text(const char* names, std::string& target, const char* help);
  Flags& optional_text(const char* names, std::optional<std::string>& target, const char* help);
  Flags& list(const char* names, std::vector<std::string>& target, const char* help);  // one value each time
  Flags& number(const char* names, uint32_t& target, const char* help);
  Flags& numbers(const char* names, std::vector<uint32_t>& target, const char* help);
  Flags& optional_signed(const char* names, std::optional<int64_t>& target, const char* help);
  Flags& optional_unsigned(const char* names, std::optional<uint64_t>& target, const char* help);
  Flags& footer(const std::string& text);

  // Everything from the first word that is no flag on is left alone (exec's command, the global flags'
  // command).
  Flags& stop_at_first_word();
  // Returns the words that are no flags, without a first `--`, which ends the flags. Words are read as Go's
  // flag package reads them: -flag as --flag, `=value`, a switch's `=false`. Throws Error(kInvalid),
  // HelpShown.
  Args parse(const Args& args);
  std::string help() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace husk::cmd
