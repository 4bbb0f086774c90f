// Properties from annotations: GVariant's text form, and seconds made microseconds.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/systemd_property.h"

namespace husk {
namespace {

using Json = nlohmann::json;

[[noreturn]] void invalid(std::string_view text, const char* why) {
  throw Error(ErrorKind::kInvalid, "\"" + printable(text, 120) + "\": " + why);
}

struct Keyword {
  std::string_view word;
  const char* signature;
};
constexpr std::array<Keyword, 10> kKeywords = {{{"boolean", "b"},
                                                {"byte", "y"},
                                                {"int16", "n"},
                                                {"uint16", "q"},
                                                {"int32", "i"},
                                                {"uint32", "u"},
                                                {"int64", "x"},
                                                {"uint64", "t"},
                                                {"double", "d"},
                                                {"string", "s"}}};

struct Range {
  char type;
  int64_t min;
  uint64_t max;
};
constexpr std::array<Range, 7> kRanges = {{{'y', 0, UINT8_MAX},
                                           {'n', INT16_MIN, INT16_MAX},
                                           {'q', 0, UINT16_MAX},
                                           {'i', INT32_MIN, INT32_MAX},
                                           {'u', 0, UINT32_MAX},
                                           {'x', INT64_MIN, INT64_MAX},
                                           {'t', 0, UINT64_MAX}}};

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  TypedValue whole() {
    TypedValue value = parse("", 0);
    skip_space();
    if (at_ != text_.size()) fail("something follows the value");
    return value;
  }

 private:
  static constexpr int kDeepest = 8;

  [[noreturn]] void fail(const char* why) const { invalid(text_, why); }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void skip_space() {
    while (peek() == ' ' || peek() == '\t' || peek() == '\n') ++at_;
  }
  bool take(char c) {
    skip_space();
    if (peek() != c || !c) return false;
    ++at_;
    return true;
  }
  std::string_view word() {
    const size_t begin = at_;
    at_ = std::min(text_.find_first_of(" \t\n,()[]", at_), text_.size());
    return text_.substr(begin, at_ - begin);
  }

  // wanted: the type that is known already, or "".
  TypedValue parse(const std::string& wanted, int depth) {
    if (depth > kDeepest) fail("nested too deeply");
    skip_space();
    const char c = peek();
    if (c == '@') return annotated(wanted, depth);
    if (c == '\'' || c == '"') return typed(wanted, "s", string());
    if (c == '[') return array(wanted, depth);
    if (c == '(') return tuple(wanted, depth);
    if ((c >= 'a' && c <= 'z') && text_.substr(at_, 3) != "inf" && text_.substr(at_, 3) != "nan")
      return keyword(wanted, depth);
    return number(wanted);
  }

  TypedValue typed(const std::string& wanted, std::string signature, Json value) const {
    if (!wanted.empty() && wanted != signature) fail("the types do not agree");
    return {std::move(signature), std::move(value)};
  }

  TypedValue annotated(const std::string& wanted, int depth) {
    ++at_;
    // The parentheses of a tuple's type are part of it.
    const size_t begin = at_;
    at_ = std::min(text_.find_first_of(" \t\n", at_), text_.size());
    const std::string type(text_.substr(begin, at_ - begin));
    if (type.empty() || type.size() > 32 || type.find_first_not_of("bynqiuxtdsa()") != type.npos)
      fail("this type is not known");
    if (!wanted.empty() && wanted != type) fail("the types do not agree");
    return parse(type, depth + 1);
  }

  TypedValue keyword(const std::string& wanted, int depth) {
    const std::string_view name = word();
    if (name == "true" || name == "false") return typed(wanted, "b", name == "true");
    for (const Keyword& k : kKeywords)
      if (k.word == name) {
        if (!wanted.empty() && wanted != k.signature) fail("the types do not agree");
        return parse(k.signature, depth + 1);
      }
    fail("a string has to be in quotes, and this is no other value");
  }

  std::string string() {
    static constexpr std::string_view kEscapes = "abfnrtv\\'\"", kMeant = "\a\b\f\n\r\t\v\\'\"";
    const char quote = text_[at_++];
    std::string out;
    for (; peek() != quote; ++at_) {
      if (at_ >= text_.size()) fail("the string has no end");
      if (peek() != '\\') {
        out += peek();
        continue;
      }
      ++at_;
      const size_t escape = kEscapes.find(peek());
      if (escape == kEscapes.npos || at_ >= text_.size()) fail("this escape is not known");
      out += kMeant[escape];
    }
    ++at_;
    if (out.find('\0') != out.npos) fail("a string holds no zero byte");
    return out;
  }

  TypedValue array(const std::string& wanted, int depth) {
    if (!wanted.empty() && wanted[0] != 'a') fail("the types do not agree");
    ++at_;
    std::string element = wanted.empty() ? "" : wanted.substr(1);
    Json values = Json::array();
    while (!take(']')) {
      if (!values.empty() && !take(',')) fail("the array has no end");
      TypedValue value = parse(element, depth + 1);
      element = value.signature;
      values.push_back(std::move(value.value));
    }
    if (element.empty()) fail("an empty array needs a type (@as [])");
    return {"a" + element, std::move(values)};
  }

  TypedValue tuple(const std::string& wanted, int depth) {
    ++at_;
    std::string signature = "(";
    Json values = Json::array();
    while (!take(')')) {
      if (!values.empty() && !take(',')) fail("the tuple has no end");
      if (!values.empty() && take(')')) break;
      TypedValue value = parse(member_type(wanted, signature.size()), depth + 1);
      signature += value.signature;
      values.push_back(std::move(value.value));
    }
    if (values.empty()) fail("an empty tuple is no property's value");
    return typed(wanted, signature + ")", std::move(values));
  }

  // The complete type that begins at `at` of a tuple's signature.
  std::string member_type(const std::string& tuple, size_t at) const {
    if (tuple.empty()) return "";
    size_t end = at;
    while (end < tuple.size() && tuple[end] == 'a') ++end;
    if (end < tuple.size() && tuple[end] == '(')
      for (int open = 0; end < tuple.size(); ++end) {
        open += tuple[end] == '(' ? 1 : tuple[end] == ')' ? -1 : 0;
        if (!open) break;
      }
    if (end >= tuple.size() || (end == at && tuple[end] == ')')) fail("the types do not agree");
    return tuple.substr(at, end + 1 - at);
  }

  TypedValue number(const std::string& wanted) {
    const std::string_view token = word();
    if (token.empty()) fail("a value is missing");
    std::string_view digits = token;
    const bool negative = digits[0] == '-';
    if (negative || digits[0] == '+') digits.remove_prefix(1);
    const bool hex = digits.starts_with("0x") || digits.starts_with("0X");
    if (wanted == "d" || (wanted.empty() && !hex && digits.find_first_of(".einf") != digits.npos))
      return {"d", real(token)};
    int base = hex ? 16 : digits.size() > 1 && digits[0] == '0' ? 8 : 10;
    if (hex) digits.remove_prefix(2);
    uint64_t n = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), n, base);
    if (error != std::errc() || end != digits.data() + digits.size()) fail("this is no number");
    const std::string type = wanted.empty() ? "i" : wanted;
    const auto* range = std::find_if(kRanges.begin(), kRanges.end(),
                                     [&](const Range& r) { return type.size() == 1 && r.type == type[0]; });
    if (range == kRanges.end()) fail("the types do not agree");
    if (negative ? n > 0 - static_cast<uint64_t>(range->min) : n > range->max)
      fail("the number is out of its type's range");
    if (negative) return {type, static_cast<int64_t>(0 - n)};
    return {type, n};
  }

  double real(std::string_view token) const {
    double value = 0;
    auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), value);
    if (error != std::errc() || end != token.data() + token.size() || !std::isfinite(value))
      fail("this is no number");
    return value;
  }

  std::string_view text_;
  size_t at_ = 0;
};

uint64_t microseconds(const TypedValue& seconds) {
  constexpr uint64_t kSecond = 1'000'000;
  const Json& v = seconds.value;
  if (v.is_number_float() && v.get<double>() >= 0 && v.get<double>() < 1e12)
    return static_cast<uint64_t>(std::llround(v.get<double>() * static_cast<double>(kSecond)));
  if (v.is_number_unsigned() && v.get<uint64_t>() == UINT64_MAX) return UINT64_MAX;  // never
  if (v.is_number_unsigned() && v.get<uint64_t>() <= UINT64_MAX / kSecond) return v.get<uint64_t>() * kSecond;
  throw Error(ErrorKind::kInvalid, "seconds have to be a number that is not negative");
}

}  // namespace

TypedValue parse_gvariant(std::string_view text) {
  return Parser(text).whole();
}

UnitProperty property_from_annotation(const std::string& name, const std::string& text) {
  auto letter = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (name.empty() || !std::all_of(name.begin(), name.end(), letter))
    throw Error(ErrorKind::kInvalid, "this cannot be the name of a property");
  // With these husk itself knows what is in the unit, and where it is.
  for (const char* own : {"Delegate", "PIDs", "Slice"})
    if (name == own) throw Error(ErrorKind::kInvalid, "this property is set by husk alone");
  TypedValue value = parse_gvariant(text);
  constexpr std::string_view kSec = "Sec";
  const bool seconds = name.size() > kSec.size() && name.ends_with(kSec) &&
                       name[name.size() - kSec.size() - 1] >= 'a' &&
                       name[name.size() - kSec.size() - 1] <= 'z';
  if (!seconds) return {name, value.signature, std::move(value.value)};
  return {name.substr(0, name.size() - kSec.size()) + "USec", "t", microseconds(value)};
}

}  // namespace husk
