// Namespaces of one process: which to make, which to join, and what has to be written before somebody lives
// in them.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "libcontainer/base/fd.h"
#include "spec/config.h"

namespace husk {

int namespace_flag(spec::NamespaceType type);          // CLONE_NEW…
const char* namespace_file(spec::NamespaceType type);  // its name below /proc/PID/ns

// CLONE_NEW… of the namespaces that have no path.
int new_namespace_flags(const std::vector<spec::Namespace>& namespaces);

struct NamespaceFd {
  spec::NamespaceType type;
  UniqueFd fd;
};

// Opens every namespace that has a path, before any of them is joined (a mount namespace changes what paths
// mean).
std::vector<NamespaceFd> open_namespaces(const std::vector<spec::Namespace>& namespaces);
// setns(2) into all of them: the user namespace last, because we lose our privileges over the others with it;
// what needs privileges inside the user namespace is tried again after it. A pid namespace takes effect for
// children only.
void join_namespaces(const std::vector<NamespaceFd>& fds);
// Joins the namespaces of `flags` of another process, in one step.
void join_process(int pidfd, int flags);

// Writes /proc/PID/{uid_map,setgroups,gid_map}.
void write_id_maps(pid_t pid, const std::vector<spec::IdMapping>& uids,
                   const std::vector<spec::IdMapping>& gids);
// Unshares a time namespace for the children to come and sets its clocks, which is possible only while it is
// empty.
void make_time_namespace(const std::map<std::string, spec::TimeOffset>& offsets);
// An fd of a user namespace that holds only these maps (idmapped mounts).
UniqueFd make_user_namespace(const std::vector<spec::IdMapping>& uids,
                             const std::vector<spec::IdMapping>& gids);

}  // namespace husk
