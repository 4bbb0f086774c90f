// What an ordinary user lacks for a VM's files and network (mounts, network namespaces, taps) he has as the
// root of a user namespace of his own. Rootless Podman has made one before it calls us; else we do.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "spec/config.h"

namespace husk::vm {

// Moves this process into a new user namespace with the config's maps, and a mount namespace; takes it out of
// the config, since the ids inside are the container's. Maps of one's own id only are filled up with what
// /etc/subuid and /etc/subgid give. Single-threaded callers only. Throws kUnsupported, which says what is
// missing.
void enter_user_namespace(spec::Config& config);
// Moves it into that of a process of ours.
void join_user_namespace(pid_t pid);

// A map's lines of subuid(5), for a user by name or number, appended behind what is mapped.
void append_sub_ids(std::vector<spec::IdMapping>& maps, std::string_view text, const std::string& name,
                    uid_t uid);

}  // namespace husk::vm
