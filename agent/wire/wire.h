// What both sides of the wire hold to beside frames.h, and how errors cross it.
#pragma once

#include <string>
#include <string_view>

#include "libcontainer/base/error.h"

namespace husk::wire {

// Raised whenever agent.proto, or a bound below, changes meaning.
inline constexpr uint32_t kProtocolVersion = 11;
inline constexpr size_t kMaxChunk = 64u << 10;      // of stdin, and of a channel (channel.h)
inline constexpr size_t kStdinWindow = 256u << 10;  // of stdin on the way, see Output.stdin_taken
inline constexpr size_t kOutputWindow = 4u << 20;   // the same of each output, see Input.stdout_taken
inline constexpr size_t kMaxRest = 1u << 20;        // of an output beyond it, once the process has ended
inline constexpr size_t kMaxReply =
    1u << 20;  // of the guest's words in a session: parsed they may be 50 times that
inline constexpr unsigned kMaxConnections = 64;  // of one listener, at a time
inline constexpr int kMaxChanges = 256;          // of files, in one notify_changes

// An Error as JSON: kind, errno and a bounded message. Back: the guest is not trusted; what is not our JSON
// is a plain failure with the text `otherwise`, and its words are one line.
std::string encode_error(const Error& error);
Error decode_error(std::string_view json, const Error& otherwise);

}  // namespace husk::wire
