// Who answers the calls that a filter sends to a listener: on the host an agent of the engine's behind a
// socket, listenerPath (runtime-spec, config-linux.md, "containerProcessState"). Internal to this folder.
#pragma once

#include "libcontainer/init/control.h"

namespace husk {

// Stage 1, where the path still means what the config's author meant by it. Nothing where no call is for a
// listener; in a guest nothing either, and compile_seccomp refuses such a profile.
void connect_listener(InitRequest& request);
// Before the filter is loaded: what the agent gets to know.
void prepare_listener(InitRequest& request);
// From the moment the filter is loaded until the agent has `listener`, only sendmsg(2) may be called.
void hand_over(InitRequest& request, UniqueFd listener);

}  // namespace husk
