// The host's end of a connection that comes from the guest.
#pragma once

#include <netinet/in.h>
#include <sys/types.h>

#include <atomic>
#include <string>
#include <vector>

#include "libcontainer/base/fd.h"
#include "spec/config.h"

namespace husk::vm {

// Whether the unix socket behind the fd takes datagrams. Nobody notices the question.
bool takes_datagrams(int socket_file);

// Who connects, in the host's ids.
struct Caller {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
};
// Throws kPermission for ids that a container with these user namespace mappings (none: it has no such
// namespace) cannot have. The guest says them, and is not trusted.
void check_caller(const Caller& caller, const std::vector<spec::IdMapping>& uids,
                  const std::vector<spec::IdMapping>& gids);

// A connection to the unix stream socket that the fd stands for (O_PATH, or a mount's), whatever its path has
// become. It is made with the caller's ids and nobody's privileges, so that the host's kernel decides and its
// other side is told whose it is (SO_PEERCRED). Waits for room in the listener's queue, at most
// deadline::kHostConnect and until stopped. Throws with connect(2)'s errno.
UniqueFd connect_as(int socket_file, const Caller& caller, const std::atomic<bool>& stopped);

// A connected socket (SOCK_STREAM or SOCK_DGRAM) of the network namespace. The same wait.
UniqueFd connect_in(int netns, int type, const sockaddr_in& address, const std::atomic<bool>& stopped);

}  // namespace husk::vm
