// What the host and the guest say to each other outside of agent.proto.
#pragma once

namespace husk {

// A parameter of the guest kernel's command line: the VM is to be saved. The agent then prints
// kReadyToBeSaved on the console once it has nothing left to do but wait for the host's first byte.
inline constexpr const char* kTemplateParameter = "husk.template";
inline constexpr const char* kReadyToBeSaved = "husk: ready to be saved";

// The virtiofs tag of the host's files.
inline constexpr const char* kShareTag = "husk";

}  // namespace husk
