#pragma once

namespace husk {

// Whether we are not the host's root: an ordinary user, or the root of a user namespace (as rootless Podman
// calls its runtime). set_rootless: --rootless true or false says so, before anybody asks.
bool is_rootless();
void set_rootless(bool rootless);

}  // namespace husk
