// What is said to one port is said to another, without a packet filter: eBPF programs of type
// BPF_PROG_TYPE_CGROUP_SOCK_ADDR at connect(2), sendmsg(2) and recvmsg(2) (bpf-cgroup, Linux 5.7).
#pragma once

#include <netinet/in.h>

#include <cstdint>
#include <string>
#include <vector>

#include "libcontainer/base/fd.h"

namespace husk {

struct PortRedirect {
  uint64_t netns_cookie = 0;  // of the network namespace in which it is so (SO_NETNS_COOKIE)
  uint32_t address = 0;       // host byte order
  uint16_t port = 0, to = 0;
  int protocol = IPPROTO_UDP;  // or IPPROTO_TCP
};

// For the processes in the cgroup v2 folder and below it, until the fds are closed: who talks to
// address:port talks to address:to, and what comes from there seems to come from `port`. Only sockets of
// AF_INET. Throws kUnsupported where the kernel cannot.
std::vector<UniqueFd> redirect_port(const std::string& cgroup_folder, const PortRedirect& redirect);

}  // namespace husk
