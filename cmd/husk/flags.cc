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

}  // namespace

struct Flags::Impl {
  CLI::App app;
};

Flags::Flags(const std::string& usage, const std::string& about) : impl_(std::make_unique<Impl>()) {
  impl_->app.description(about);
  impl_->app.set_help_flag("-h,--help", "Show this help");
  impl_->app.formatter(std::make_shared<HelpFormatter>(usage));
  impl_->app.allow_extras();
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
  impl_->app.prefix_command();
  return *this;
}

std::string Flags::help() const {
  return impl_->app.help();
}

Args Flags::parse(const Args& args) {
  Args reversed(args.rbegin(), args.rend());  // CLI11 takes them from the back
  try {
    impl_->app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    throw HelpShown{impl_->app.help()};
  } catch (const CLI::ParseError& e) {
    throw Error(ErrorKind::kInvalid, one_line(e.what()));
  }
  Args words = impl_->app.remaining();
  // A flag that nobody knows is left over like a word is.
  const bool stops = impl_->app.get_prefix_command();
  for (const std::string& word : words) {
    if (word == "--") break;
    if (word.size() > 1 && word[0] == '-')
      throw Error(ErrorKind::kInvalid, "unknown flag: " + printable(word, 80));
    if (stops) break;
  }
  if (const auto mark = std::find(words.begin(), words.end(), "--"); mark != words.end() && !stops)
    words.erase(mark);
  return words;
}

}  // namespace husk::cmd
