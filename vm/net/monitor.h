// Tells that something has changed in a network namespace; what, a scan tells.
#pragma once

#include "libcontainer/base/fd.h"

namespace husk::vm {

// An rtnetlink socket in the namespace that hears of links, addresses and routes (rtnetlink(7)): readable
// when there is news. It does not block. Throws.
UniqueFd open_network_monitor(int netns_fd);
// Reads all that is there. True if some of it is of an interface that a VM may have a card for: not lo, not
// husk's taps, and nothing that a scan leaves out.
bool network_changed(int monitor);

}  // namespace husk::vm
