// System call filters: the OCI profile compiled to BPF by libseccomp, loaded by seccomp(2). The two are apart
// because compiling is by far the dearest step of a start: what create compiled is used again by every exec.
#pragma once

#include <string>
#include <vector>

#include "libcontainer/base/fd.h"
#include "spec/config.h"

struct sock_filter;

namespace husk {

// The program as bytes (an array of struct sock_filter). Names that libseccomp does not know are skipped, as
// the spec demands. Throws kInvalid for unknown actions, operators, architectures; kUnsupported for
// SCMP_ACT_NOTIFY unless there is a listener, and where that one would have to answer for its own arrival.
std::string compile_seccomp(const spec::Seccomp& profile, bool listener = false);
// Whether the library makes filters for SCMP_ARCH_…
bool knows_seccomp_architecture(const std::string& name);
// Whether a call of the profile's is for a listener to answer (SCMP_ACT_NOTIFY).
bool uses_listener(const spec::Seccomp& profile);
// SECCOMP_FILTER_FLAG_… of the profile's flags.
unsigned parse_seccomp_flags(const std::vector<std::string>& flags);
// Needs no_new_privs or CAP_SYS_ADMIN.
void load_seccomp(const std::string& program, unsigned flags);
// Returns the fd on which the calls arrive (seccomp_unotify(2)).
UniqueFd load_seccomp_with_listener(const std::string& program, unsigned flags);

}  // namespace husk
