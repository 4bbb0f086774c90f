// The one piece of traffic control that husk needs: whatever comes in at one interface goes out at another.
// Everything acts on the network namespace that the socket belongs to. See tc-mirred(8), tc-matchall(8).
#pragma once

#include <linux/filter.h>

#include <cstdint>
#include <string>
#include <vector>

#include "libcontainer/linux/netlink_socket.h"

namespace husk::vm {

// Makes the ingress qdisc of `name`. Throws kUnsupported when it has one already: that is somebody else's.
void add_ingress(NetlinkSocket& socket, int index, const std::string& name);
// Redirects what comes in at `from` to go out at `to`. Needs add_ingress(from).
void redirect_ingress(NetlinkSocket& socket, int from, int to);
// What a program's result means: the action (TC_ACT_*), or whether the packet is the host's own stack's (not
// 0).
enum class BpfResult { kAction, kMatch };
// Asks a classic BPF program before the redirection, once for each interface. Throws.
void add_bpf_filter(NetlinkSocket& socket, int index, const std::vector<sock_filter>& program,
                    BpfResult result);
// From here to 65535: a power of two of them. No kernel takes one of these by itself.
inline constexpr uint16_t kResolverPorts = 0xfc00;
// Lets the host's own stack at `from`, which a redirection cuts off, have what comes from a DNS server to
// kResolverPorts, and copies of ARP's replies. Where nothing is redirected, or it was done, nothing is.
// Throws.
void pass_resolver(NetlinkSocket& socket, int from);
// Whether a filter of husk's at `index` redirects to an interface that is there. Throws.
bool redirects_to_tap(NetlinkSocket& socket, int index);
// Takes the ingress qdisc off, its filter with it; that there is none is fine. One whose filters are all
// somebody else's, and any clsact one, stays. Returns an errno or 0; throws when the filters cannot be
// listed.
int remove_ingress(NetlinkSocket& socket, int index);

}  // namespace husk::vm
