// System call filters: the OCI profile compiled to BPF by libseccomp, loaded by seccomp(2). The two are apart
// because compiling is by far the dearest step of a start: what create compiled is used again by every exec.
#pragma once

#include <string>
#include <vector>

#include "spec/config.h"

struct sock_filter;

namespace husk {

// The program as bytes (an array of struct sock_filter). Names that libseccomp does not know are skipped, as
// the spec demands. Throws kUnsupported for SCMP_ACT_NOTIFY, kInvalid for unknown actions, operators,
// architectures.
std::string compile_seccomp(const spec::Seccomp& profile);
// SECCOMP_FILTER_FLAG_… of the profile's flags.
unsigned parse_seccomp_flags(const std::vector<std::string>& flags);
// Needs no_new_privs or CAP_SYS_ADMIN.
void load_seccomp(const std::string& program, unsigned flags);

}  // namespace husk
