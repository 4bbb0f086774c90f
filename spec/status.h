// A container's status, as the OCI state names it (runtime-spec, runtime.md, "State"); "paused" is runc's.
#pragma once

namespace husk {

enum class Status { kCreating, kCreated, kRunning, kPaused, kStopped };
const char* status_name(Status status);  // "creating", … as `state` prints it

}  // namespace husk
