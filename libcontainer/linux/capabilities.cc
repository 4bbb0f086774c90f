#include "libcontainer/linux/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>

#include "libcontainer/base/error.h"
#include "spec/names.h"

namespace husk {
namespace {

using spec::kCapabilities;  // by their numbers
constexpr int kCount = static_cast<int>(std::size(kCapabilities));

constexpr uint64_t bit(int number) {
  return uint64_t{1} << number;
}

uint64_t own_permitted() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  check(syscall(SYS_capget, &header, data), "capget");
  return data[0].permitted | static_cast<uint64_t>(data[1].permitted) << 32;
}

// Unknown names are told of by spec::config_warnings().
uint64_t parse_set(const std::vector<std::string>& names, uint64_t have, uint64_t& missing) {
  uint64_t out = 0;
  for (const std::string& name : names) {
    int number = capability_number(name);
    if (number < 0) continue;
    if (have & bit(number))
      out |= bit(number);
    else
      missing |= bit(number);
  }
  return out;
}

}  // namespace

int capability_number(std::string_view name) {
  for (int i = 0; i < kCount; ++i)
    if (name == kCapabilities[i]) return i;
  return -1;
}

const char* capability_name(int number) {
  return number >= 0 && number < kCount ? kCapabilities[number].data() : nullptr;
}

CapabilitySets parse_capabilities(const spec::Capabilities& names, std::vector<std::string>& warnings) {
  uint64_t have = own_permitted(), missing = 0;
  CapabilitySets sets;
  sets.bounding = parse_set(names.bounding, have, missing);
  sets.permitted = parse_set(names.permitted, have, missing);
  sets.effective = parse_set(names.effective, have, missing) & sets.permitted;
  sets.inheritable = parse_set(names.inheritable, have, missing);
  // The kernel's own rule for the ambient set.
  sets.ambient = parse_set(names.ambient, have, missing) & sets.permitted & sets.inheritable;
  for (int i = 0; i < kCount; ++i)
    if (missing & bit(i))
      warnings.push_back("capability " + std::string(kCapabilities[i]) +
                         " cannot be given: husk does not have it itself");
  return sets;
}

void drop_bounding_set(const CapabilitySets& sets) {
  for (int i = 0; i < 64; ++i) {
    if (sets.bounding & bit(i)) continue;
    if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) break;  // past the kernel's last capability
    throw_errno("dropping the bounding set");
  }
  check(prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0), "PR_SET_KEEPCAPS");
}

void apply_capabilities(const CapabilitySets& sets) {
  check(prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0), "PR_SET_KEEPCAPS");
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2];
  for (int i = 0; i < 2; ++i) {
    data[i].effective = static_cast<uint32_t>(sets.effective >> (32 * i));
    data[i].permitted = static_cast<uint32_t>(sets.permitted >> (32 * i));
    data[i].inheritable = static_cast<uint32_t>(sets.inheritable >> (32 * i));
  }
  check(syscall(SYS_capset, &header, data), "capset");
  check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "clearing the ambient set");
  for (int i = 0; i < kCount; ++i)
    if (sets.ambient & bit(i))
      check(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0),
            "raising ambient " + std::string(kCapabilities[i]));
}

}  // namespace husk
