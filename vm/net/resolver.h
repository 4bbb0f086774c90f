// Docker's embedded DNS asks other servers from within the container's network namespace, whose interfaces
// are the VM's: without this their answers would go there.
#pragma once

namespace husk::vm {

// Has the processes of the host in the namespace use ports of their own (kResolverPorts), and lets them have
// what DNS servers send there. Doing it again is for interfaces that have come since. Throws.
void let_resolver_through(int netns_fd);

}  // namespace husk::vm
