// Who the process is: groups, gid, uid, umask, home.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "spec/config.h"

namespace husk {

// Gives 0, 1 and 2 to the user, so that it may open /dev/stdout again. What cannot be given is left alone.
void give_stdio(uid_t uid);
// setgroups, setgid, setuid (all three ids each) and the umask (0022 where the spec names none).
void apply_user(const spec::User& user);
// Root of our own user namespace, after its maps are written.
void become_namespace_root();
// The home folder that this root's /etc/passwd names for uid; "/" if none.
std::string home_of(uid_t uid);
std::string home_in(std::string_view passwd, uid_t uid);  // the same, of a text of passwd(5)

}  // namespace husk
