// JSON text to structs.
#include "libcontainer/base/error.h"
#include "spec/codec.h"
#include "spec/fields_linux.h"
#include "spec/json_reader.h"

namespace husk::spec {
namespace {

using Json = nlohmann::json;

// The library's text is "[its.name.101] parse error at line 3, column 7: …": only the part from "line" on is
// for a user.
std::string parse_problem(const char* what) {
  std::string_view text = what;
  if (const size_t at = text.find(" at line "); at != std::string_view::npos)
    text.remove_prefix(at + 4);
  else if (const size_t name = text.find("] "); name != std::string_view::npos)
    text.remove_prefix(name + 2);
  return printable(text);
}

Json parse(std::string_view text) {
  try {
    return Json::parse(text);
  } catch (const Json::exception& e) {
    throw Error(ErrorKind::kInvalid, "not JSON: " + parse_problem(e.what()));
  }
}

template <typename T>
T decode(std::string_view text, const char* root) {
  T value;
  read(parse(text), JsonPath(root), value);
  return value;
}

}  // namespace

Config decode_config(std::string_view json_text) {
  auto config = decode<Config>(json_text, "");
  // config.md, "Mounts": a relative destination is deprecated, but means one below "/".
  for (Mount& mount : config.mounts)
    if (!mount.destination.empty() && mount.destination[0] != '/') mount.destination.insert(0, 1, '/');
  // An empty object is how some engines write "no filter".
  if (config.linux_ && config.linux_->seccomp) {
    const Seccomp& seccomp = *config.linux_->seccomp;
    if (seccomp.default_action.empty() && seccomp.syscalls.empty()) config.linux_->seccomp.reset();
  }
  return config;
}

Process decode_process(std::string_view json_text) {
  return decode<Process>(json_text, "process");
}

Resources decode_resources(std::string_view json_text) {
  return decode<Resources>(json_text, "resources");
}

}  // namespace husk::spec
