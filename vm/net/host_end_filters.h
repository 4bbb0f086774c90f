// What passes between the guest, the wire and the host's end of a spliced namespace: classic BPF programs of
// tc, before the redirection. See tc-bpf(8).
#pragma once

#include "libcontainer/linux/netlink_address.h"
#include "libcontainer/linux/netlink_socket.h"

namespace husk::vm {

// At the interface: nothing of the wire may claim to come from, or be meant for, the guest's loopback, and
// nothing come from `own`, the host's end's address.
void drop_loopback(NetlinkSocket& socket, int index, const IpAddress& own);
// At the tap: what answers the host's end goes to the host's stack: to `own` TCP that opens nothing, UDP to
// ports that a kernel picks, echo replies; neither fragments nor IP options. Both throw.
void pass_answers(NetlinkSocket& socket, int index, const IpAddress& own);

}  // namespace husk::vm
