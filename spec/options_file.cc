// Reading husk.toml. CLI11 parses; what a key means is the table's business (options.cc).
#include <CLI/CLI.hpp>
#include <set>
#include <sstream>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "spec/options.h"

namespace husk::spec {
namespace {

[[noreturn]] void fail(const std::string& message) {
  throw Error(ErrorKind::kInvalid, message);
}

std::vector<CLI::ConfigItem> parse(const std::string& text) {
  std::istringstream stream(text);
  try {
    return CLI::ConfigTOML().from_config(stream);
  } catch (const CLI::Error& e) {
    fail(printable(e.what()));
  }
}

// The one value of a key. The reader splits at blanks and commas outside quotes, and cuts at "#" even within
// them.
const std::string& single_value(const CLI::ConfigItem& item) {
  if (item.inputs.size() != 1) fail(item.name + ": expected one value in quotes, or one given once");
  const std::string& value = item.inputs[0];
  if (value.starts_with('"') || value.starts_with('\''))
    fail(item.name + ": the quotes do not end (\"#\" cannot be part of a value)");
  return value;
}

void set_all(Options& options, const std::string& text) {
  std::set<std::string> seen;
  for (const CLI::ConfigItem& item : parse(text)) {
    if (!item.parents.empty()) fail("there are no sections, got [" + printable(item.parents[0], 64) + "]");
    if (!seen.insert(item.name).second) fail(item.name + ": given twice");
    get_option(options, item.name);  // an unknown name is told before its value is judged
    set_option(options, item.name, single_value(item));
  }
}

}  // namespace

Options load_options(const std::string& path, bool required) {
  Options options = default_options();
  std::string text;
  try {
    text = read_file(path, 1 << 20);
  } catch (const Error& e) {
    if (e.errnum() == ENOENT && !required) return options;
    throw;
  }
  with_context(path, [&] { set_all(options, text); });
  return options;
}

}  // namespace husk::spec
