#include "libcontainer/linux/sysctl.h"

#include <algorithm>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"

namespace husk {

std::string sysctl_path(const std::string& name) {
  // As sysctl(8): the first separator decides; "net/ipv4/conf/eth0.1/rp_filter" keeps its dots.
  std::string path = name;
  size_t first = path.find_first_of("./");
  if (first != std::string::npos && path[first] == '.')
    for (char& c : path) c = c == '.' ? '/' : c == '/' ? '.' : c;
  std::string whole = "/proc/sys/" + path;
  if (name.empty() || whole != clean_path(whole))
    throw Error(ErrorKind::kInvalid, "bad sysctl name \"" + printable(name, 128) + "\"");
  return whole;
}

void apply_sysctls(const std::map<std::string, std::string>& values) {
  for (const auto& entry : values)  // no structured binding: clang 14 cannot capture one
    with_context("sysctl " + printable(entry.first, 128),
                 [&] { write_file(sysctl_path(entry.first), entry.second); });
}

}  // namespace husk
