// What husk opens for husk-sandbox and hands over as fds, because the engine's mounts are where husk is:
// husk-sandbox's mount namespace may not have them.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "vm/sandbox/control.h"
#include "vm/sandbox/guest_config.h"

namespace husk::vm {

// A request of create's and its answer. Throws the error that it carries, and kGuestDied.
Json tell(int connection, const Json& body, const std::vector<int>& fds, std::chrono::milliseconds timeout);
// The root file system and the volumes.
void send_mounts(int connection, const std::string& id, const std::string& rootfs,
                 const std::vector<SharedSource>& shared);
// The sockets that the guest may reach on the host, and the resolv.conf that may name Docker's DNS.
void send_connections(int connection, const std::string& id, const GuestConfig& guest);

}  // namespace husk::vm
