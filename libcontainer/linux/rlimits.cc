#include "libcontainer/linux/rlimits.h"

#include <sys/resource.h>

#include "libcontainer/base/error.h"

namespace husk {

int parse_rlimit(const std::string& name) {
  static constexpr std::pair<const char*, int> kRows[] = {{"RLIMIT_AS", RLIMIT_AS},
                                                          {"RLIMIT_CORE", RLIMIT_CORE},
                                                          {"RLIMIT_CPU", RLIMIT_CPU},
                                                          {"RLIMIT_DATA", RLIMIT_DATA},
                                                          {"RLIMIT_FSIZE", RLIMIT_FSIZE},
                                                          {"RLIMIT_LOCKS", RLIMIT_LOCKS},
                                                          {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
                                                          {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
                                                          {"RLIMIT_NICE", RLIMIT_NICE},
                                                          {"RLIMIT_NOFILE", RLIMIT_NOFILE},
                                                          {"RLIMIT_NPROC", RLIMIT_NPROC},
                                                          {"RLIMIT_RSS", RLIMIT_RSS},
                                                          {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
                                                          {"RLIMIT_RTTIME", RLIMIT_RTTIME},
                                                          {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
                                                          {"RLIMIT_STACK", RLIMIT_STACK}};
  for (const auto& [text, number] : kRows)
    if (name == text) return number;
  throw Error(ErrorKind::kInvalid, "unknown rlimit \"" + printable(name, 64) + "\"");
}

void raise_hard_limits(const std::vector<spec::Rlimit>& limits) {
  for (const spec::Rlimit& limit : limits) {
    const auto resource = static_cast<__rlimit_resource>(parse_rlimit(limit.type));
    rlimit now{};
    if (getrlimit(resource, &now) != 0 || limit.hard <= now.rlim_max) continue;
    now.rlim_max = static_cast<rlim_t>(limit.hard);
    setrlimit(resource, &now);  // else apply_rlimits() says why not
  }
}

void apply_rlimits(const std::vector<spec::Rlimit>& limits) {
  for (const spec::Rlimit& limit : limits) {
    int resource = parse_rlimit(limit.type);
    rlimit value{static_cast<rlim_t>(limit.soft), static_cast<rlim_t>(limit.hard)};
    check(setrlimit(static_cast<__rlimit_resource>(resource), &value), "setting " + limit.type);
  }
}

}  // namespace husk
