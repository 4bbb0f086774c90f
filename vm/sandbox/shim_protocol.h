// What husk-shim and husk-sandbox say to each other over a SOCK_SEQPACKET pair: fixed little structs, so that the shim stays
// tiny. The shim's end is its fd 3.
#pragma once

#include <cstdint>

namespace husk::vm {

enum class ShimMessageType : uint32_t {
  kSignal = 1,  // shim → sandbox: this signal was sent to the shim; value: its number
  kResized = 2, // shim → sandbox: the terminal has another size
  kExited = 3,  // sandbox → shim: the process has ended; value: exit code, signal: what killed it or 0
};

struct ShimMessage {
  ShimMessageType type;
  int32_t value;
  int32_t signal;
};

inline constexpr int kShimSocketFd = 3;

}  // namespace husk::vm
