// What husk-shim and husk-sandbox say to each other over a SOCK_SEQPACKET pair: fixed little structs, so that
// the shim stays tiny. The shim's end is its fd 3. And what husk gives it to stand in.
#pragma once

#include <cstdint>

namespace husk::vm {

enum class ShimMessageType : uint32_t {
  kSignal = 1,   // shim → sandbox: this signal was sent to the shim; value: its number
  kResized = 2,  // shim → sandbox: the terminal has another size
  kExited = 3,   // sandbox → shim: the process has ended; value: exit code, signal: what killed it or 0
  kReady = 4,    // shim → husk, its first word: value: errno, or 0 when it stands in its mount namespace
};

struct ShimMessage {
  ShimMessageType type;
  int32_t value;
  int32_t signal;
};

inline constexpr int kShimSocketFd = 3;
inline constexpr int kShimTerminalFd = 4;  // the pty's slave, where the process has a terminal
// Engines take /proc/PID/ns/mnt for the container's (`podman cp` joins it and writes to its root), so the
// shim never stays in the host's: it makes one whose root is the container's rootfs (an open folder) ...
inline constexpr int kShimRootFd = 5;
inline constexpr int kShimMountsFd = 6;  // ... or, for an exec, joins that of the container's first shim.

}  // namespace husk::vm
