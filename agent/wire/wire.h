// What host and guest say beside frames.h: gRPC over one connected fd, and errors. gRPC needs no listening
// port: a channel and a server are made from a socket that is connected already (socketpair of QEMU's
// chardev).
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <string>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"

namespace husk::wire {

// Raised whenever agent.proto changes meaning.
inline constexpr uint32_t kProtocolVersion = 8;
inline constexpr size_t kMaxChunk = 64u << 10;      // of stdin, and of a connection
inline constexpr size_t kStdinWindow = 256u << 10;  // of stdin on the way, see Output.stdin_taken
inline constexpr size_t kOutputWindow = 1u << 20;   // the same of each output, see Input.stdout_taken
inline constexpr size_t kMaxRest = 1u << 20;        // of an output beyond it, once the process has ended
inline constexpr unsigned kMaxConnections = 64;     // that Listen and Carry have at a time
inline constexpr int kMaxChanges = 256;             // of files, in one NotifyChanges
inline constexpr int kMaxRpcMessage = 1 << 20;      // a chunk or a datagram, and its wrapping

// Takes the fd over. Such a channel cannot reconnect: when the fd ends, every call fails with UNAVAILABLE.
std::shared_ptr<grpc::Channel> make_channel(UniqueFd socket);
// Hands a connected socket to a running server, which owns it from then on.
void serve_fd(grpc::Server& server, UniqueFd socket);
// Message sizes and channel arguments that both sides share.
void configure(grpc::ServerBuilder& builder);

// An Error as JSON: kind, errno and a bounded message. Back: the guest is not trusted; what is not our JSON
// is a plain failure with the text `otherwise`, and its words are one line.
std::string encode_error(const Error& error);
Error decode_error(std::string_view json, const Error& otherwise);

// An Error as a Status, encoded in error_details().
grpc::Status to_status(const Error& error);
// Throws the Error that a failed status carries; a status without details (the transport's own) becomes
// kGuestDied for UNAVAILABLE, kTimeout for DEADLINE_EXCEEDED, else kInternal. `what` goes in front. OK
// returns.
void throw_if_failed(const grpc::Status& status, const std::string& what);

// The guest's side of a character device: gRPC needs a socket, so bytes are pumped between `device` (opened
// O_RDWR) and one end of a socketpair whose other end is returned. Two detached threads; they end when either
// side does, and the first to end calls on_end (in its thread, once).
UniqueFd pump_device(UniqueFd device, std::function<void()> on_end = {});

}  // namespace husk::wire
