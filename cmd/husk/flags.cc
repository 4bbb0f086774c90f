#include "cmd/husk/flags.h"

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>

#include "libcontainer/base/error.h"

namespace husk::cmd {
namespace {

// "Usage: …" in our order: usage, sentence, options.
class HelpFormatter : public CLI::Formatter {
 public:
  explicit HelpFormatter(std::string usage) : usage_(std::move(usage)) { column_width(34); }
  std::string make_usage(const CLI::App*, std::string) const override { return "Usage: " + usage_ + "\n"; }
  std::string make_option_opts(const CLI::Option* option) const override {
    return option->get_items_expected_max() == 0 ? "" : " VALUE";
  }

 private:
  std::string usage_;
};

// One line, whatever CLI11 says.
std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

bool is_switch(const CLI::Option& option) {
  return option.get_items_expected_max() == 0;
}

// Go's strconv.ParseBool.
bool parse_switch(const std::string& text, const std::string& word) {
  for (const char* yes : {"1", "t", "T", "true", "TRUE", "True"})
    if (text == yes) return true;
  for (const char* no : {"0", "f", "F", "false", "FALSE", "False"})
    if (text == no) return false;
  throw Error(ErrorKind::kInvalid, "not a boolean value: " + printable(word, 80));
}

// Reads the words as Go's flag package does, which people know from runc: one dash or two, a value behind `=`
// or as the next word, whatever that looks like, and switches with a value, too. CLI11 has "=x" for `-f=x`
// and "undle" for `-bundle`; so it gets long names and bare values. Beyond Go's: -td for -t -d, and -u1000.
class WordReader {
 public:
  WordReader(const CLI::App& app, const Args& args) : app_(app), args_(args) {}

  // stops: at the first word that is no flag.
  void read(bool stops) {
    while (next_ < args_.size()) {
      const std::string& word = args_[next_];
      const bool is_flag = word.size() > 1 && word[0] == '-';
      if (!is_flag && stops) break;
      ++next_;
      if (word == "--") break;
      if (!is_flag)
        words.push_back(word);
      else if (!take_named(word) && !take_letters(word))
        throw Error(ErrorKind::kInvalid, "unknown flag: " + printable(word, 80));
    }
    words.insert(words.end(), args_.begin() + static_cast<ptrdiff_t>(next_), args_.end());
  }

  Args flags;  // as CLI11 takes them
  Args words;  // the others

 private:
  const CLI::Option* find(const std::string& name) const {
    return app_.get_option_no_throw((name.size() == 1 ? "-" : "--") + name);
  }

  bool take_named(const std::string& word) {
    const std::string text = word.substr(word.starts_with("--") ? 2 : 1);
    const size_t equals = text.find('=');
    const CLI::Option* option = find(text.substr(0, equals));
    if (!option) return false;
    if (equals == text.npos)
      add(*option, word);
    else if (const std::string value = text.substr(equals + 1); !is_switch(*option))
      add_value(*option, value);
    else
      add_switch(*option, parse_switch(value, word));
    return true;
  }

  bool take_letters(const std::string& word) {
    std::vector<const CLI::Option*> options;
    for (const char letter : word.substr(1)) {
      options.push_back(find({letter}));
      if (!options.back()) return false;
      if (!is_switch(*options.back())) break;
    }
    if (options.size() + 1 < word.size()) {  // a value follows at once
      if (options.size() > 1) return false;  // rather a name that is misspelt
      add_value(*options[0], word.substr(2));
      return true;
    }
    for (const CLI::Option* option : options) add(*option, word);
    return true;
  }

  void add(const CLI::Option& option, const std::string& word) {
    if (is_switch(option)) return add_switch(option, true);
    if (next_ == args_.size())
      throw Error(ErrorKind::kInvalid, "flag needs an argument: " + printable(word, 80));
    add_value(option, args_[next_++]);
  }
  void add_value(const CLI::Option& option, const std::string& value) {
    if (value.empty() && option.get_type_name() != "TEXT")  // CLI11 has it for 0
      throw Error(ErrorKind::kInvalid, option.get_name() + ": expected a number, got \"\"");
    flags.push_back("--" + option.get_lnames().front());
    flags.push_back(value);
  }
  void add_switch(const CLI::Option& option, bool on) {
    if (on || &option != app_.get_help_ptr())  // CLI11 helps at any --help
      flags.push_back("--" + option.get_lnames().front() + (on ? "" : "=false"));
  }

  const CLI::App& app_;
  const Args& args_;
  size_t next_ = 0;
};

}  // namespace

struct Flags::Impl {
  CLI::App app;
  bool stops = false;
};

Flags::Flags(const std::string& usage, const std::string& about) : impl_(std::make_unique<Impl>()) {
  impl_->app.description(about);
  impl_->app.set_help_flag("-h,--help", "Show this help");
  impl_->app.formatter(std::make_shared<HelpFormatter>(usage));
}

Flags::~Flags() = default;

Flags& Flags::flag(const char* names, bool& target, const char* help) {
  impl_->app.add_flag(names, target, help);
  return *this;
}

namespace {

// As Go's flags: given twice, the last one counts.
template <typename T>
void add_single(CLI::App& app, const char* names, T& target, const char* help) {
  app.add_option(names, target, help)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
}

// One value each time it is given: `--env A=1 ID` must not swallow ID.
template <typename T>
void add_list(CLI::App& app, const char* names, T& target, const char* help) {
  app.add_option(names, target, help)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

}  // namespace

Flags& Flags::text(const char* names, std::string& target, const char* help) {
  add_single(impl_->app, names, target, help);
  return *this;
}

Flags& Flags::optional_text(const char* names, std::optional<std::string>& target, const char* help) {
  add_single(impl_->app, names, target, help);
  return *this;
}

Flags& Flags::list(const char* names, std::vector<std::string>& target, const char* help) {
  add_list(impl_->app, names, target, help);
  return *this;
}

Flags& Flags::number(const char* names, uint32_t& target, const char* help) {
  add_single(impl_->app, names, target, help);
  return *this;
}

Flags& Flags::numbers(const char* names, std::vector<uint32_t>& target, const char* help) {
  add_list(impl_->app, names, target, help);
  return *this;
}

Flags& Flags::optional_signed(const char* names, std::optional<int64_t>& target, const char* help) {
  add_single(impl_->app, names, target, help);
  return *this;
}

Flags& Flags::optional_unsigned(const char* names, std::optional<uint64_t>& target, const char* help) {
  add_single(impl_->app, names, target, help);
  return *this;
}

Flags& Flags::footer(const std::string& text) {
  impl_->app.footer(text);
  return *this;
}

Flags& Flags::stop_at_first_word() {
  impl_->stops = true;
  return *this;
}

std::string Flags::help() const {
  return impl_->app.help();
}

Args Flags::parse(const Args& args) {
  WordReader reader(impl_->app, args);
  reader.read(impl_->stops);
  Args reversed(reader.flags.rbegin(), reader.flags.rend());  // CLI11 takes them from the back
  try {
    impl_->app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    throw HelpShown{impl_->app.help()};
  } catch (const CLI::ParseError& e) {
    throw Error(ErrorKind::kInvalid, one_line(e.what()));
  }
  return std::move(reader.words);
}

}  // namespace husk::cmd
