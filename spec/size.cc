#include "spec/size.h"

#include <cctype>
#include <charconv>
#include <string_view>

#include "libcontainer/base/error.h"

namespace husk::spec {
namespace {

// "" 0, "k" 1, "M" 2, "GiB" 3 …; -1: no unit.
int power_of_1024(std::string_view unit) {
  constexpr std::string_view kUnits = "bkmgtp";
  if (unit.empty()) return 0;
  const size_t power = kUnits.find(static_cast<char>(tolower(static_cast<unsigned char>(unit[0]))));
  if (power == kUnits.npos) return -1;
  unit.remove_prefix(1);
  const bool plain =
      unit.empty() || (power > 0 && (unit == "b" || unit == "B" || unit == "iB" || unit == "ib"));
  return plain ? static_cast<int>(power) : -1;
}

}  // namespace

int64_t parse_size(const std::string& text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  std::string_view unit(rest, static_cast<size_t>(end - rest));
  if (unit.starts_with(' ')) unit.remove_prefix(1);
  const int power = error == std::errc() ? power_of_1024(unit) : -1;
  for (int i = 0; i < power; ++i) number *= 1024;
  // Doubles are exact up to 2^53; nobody has so much memory.
  if (power < 0 || !(number <= 9e15 && number >= -9e15) || (number < 0 && power > 0))
    throw Error(ErrorKind::kInvalid,
                "expected a size like 1048576 or 50M, got \"" + printable(text, 80) + "\"");
  return static_cast<int64_t>(number);
}

}  // namespace husk::spec
