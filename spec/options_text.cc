// The texts made from the table: husk.toml.5 and a commented husk.toml.
#include "spec/options.h"

namespace husk::spec {
namespace {

// Text as roff wants it: no line may begin with a control character, and a minus is not a hyphen.
std::string roff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (out.empty() && (c == '.' || c == '\'')) out += "\\&";
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else
      out += c;
  }
  return out;
}

bool in_quotes(const OptionInfo& info) {
  return info.type == OptionType::kString || info.type == OptionType::kPath || info.type == OptionType::kEnum;
}

std::string default_value(const OptionInfo& info) {
  return in_quotes(info) ? '"' + std::string(info.default_text) + '"' : info.default_text;
}

// "integer, 64 to 1048576 MiB"
std::string type_text(const OptionInfo& info) {
  switch (info.type) {
    case OptionType::kString:
      return "string";
    case OptionType::kPath:
      return "absolute path";
    case OptionType::kBoolean:
      return "true or false";
    case OptionType::kInteger:
      return "integer, " + std::to_string(info.min) + " to " + std::to_string(info.max) +
             (*info.unit ? std::string(" ") + info.unit : "");
    case OptionType::kEnum:
      break;
  }
  std::string text = "one of";
  for (const char* value : info.values)
    text += std::string(value == info.values[0] ? " \"" : ", \"") + value + '"';
  return text;
}

}  // namespace

std::string options_man_page() {
  std::string page =
      ".TH HUSK.TOML 5 \"\" \"husk\" \"File Formats\"\n"
      ".SH NAME\n"
      "husk.toml \\- the configuration of the husk container runtime\n"
      ".SH DESCRIPTION\n"
      ".B husk\n"
      "reads the file when a container is created; one that is there already keeps what it was created "
      "with.\n"
      "A line is\n"
      ".IR \"name = value\" ,\n"
      "in TOML without sections. Text stands in double quotes; a \"#\" begins a comment, also within "
      "quotes.\n"
      "A file that is missing is the same as an empty one, unless it was named with\n"
      ".BR \\-\\-config .\n"
      "An unknown name or a value out of bounds is an error.\n"
      ".SH OPTIONS\n";
  for (const OptionInfo& info : option_table()) {
    page += ".TP\n.B " + roff(info.name) + "\n";
    page += roff(info.sentence) + "\n";
    page += "(" + roff(type_text(info)) + "; default " + roff(default_value(info)) + ")\n";
  }
  page += ".SH FILES\n.I " + roff(kConfigFile) + "\n.SH SEE ALSO\n.BR husk (8)\n";
  return page;
}

std::string options_example() {
  std::string text = "# The configuration of husk: see husk.toml(5). The values shown are the defaults.\n";
  for (const OptionInfo& info : option_table()) {
    text += std::string("\n# ") + info.sentence + " (" + type_text(info) + ")\n";
    text += std::string("#") + info.name + " = " + default_value(info) + "\n";
  }
  return text;
}

}  // namespace husk::spec
