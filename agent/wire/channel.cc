#include <grpcpp/create_channel_posix.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server_posix.h>

#include "agent/wire/wire.h"

namespace husk::wire {
namespace {

constexpr int kMaxMetadata = 64 << 10;  // a status' details are metadata, and gRPC's default is 8 KiB
// On the way to a reader of a stream. gRPC's default, 64 KiB, is one chunk: the sender would wait for each to
// be acknowledged through the other's queues.
constexpr int kStreamWindow = 1 << 20;
constexpr int kMaxFrame = 128 << 10;  // a chunk and its wrapping in one, in place of 16 KiB
constexpr int kMaxThreads = 8192;     // Listen and Carry take one each

}  // namespace

std::shared_ptr<grpc::Channel> make_channel(UniqueFd socket) {
  // gRPC reads until EAGAIN.
  set_nonblocking(socket.get(), true);
  grpc::ChannelArguments args;
  args.SetMaxReceiveMessageSize(kMaxRpcMessage);
  args.SetMaxSendMessageSize(kMaxRpcMessage);
  args.SetInt(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadata);
  args.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  args.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  args.SetInt(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindow);
  args.SetInt(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kMaxFrame);
  args.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // pings that a guest on a busy host would only answer late
  args.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, INT_MAX);
  args.SetInt(GRPC_ARG_ENABLE_CENSUS, 0);
  args.SetInt(GRPC_ARG_ENABLE_CHANNELZ, 0);
  return grpc::CreateCustomInsecureChannelFromFd("husk-agent", socket.release(), args);
}

void serve_fd(grpc::Server& server, UniqueFd socket) {
  set_nonblocking(socket.get(), true);
  grpc::AddInsecureChannelFromFd(&server, socket.release());
}

void configure(grpc::ServerBuilder& builder) {
  builder.SetMaxReceiveMessageSize(kMaxRpcMessage);
  builder.SetMaxSendMessageSize(kMaxRpcMessage);
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, kMaxMetadata);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, kStreamWindow);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, kMaxFrame);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, INT_MAX);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CENSUS, 0);
  builder.AddChannelArgument(GRPC_ARG_ENABLE_CHANNELZ, 0);
  builder.AddChannelArgument(GRPC_ARG_MINIMAL_STACK,
                             1);  // no compression, no idle time, no deadlines of its own
  // One connection on one vCPU: one queue, and a thread in reserve while the first one runs a handler.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
  // Lives on: with its last object gRPC ends all its threads, and the server would start them once more.
  static grpc::ResourceQuota quota("husk");
  quota.SetMaxThreads(kMaxThreads);
  builder.SetResourceQuota(quota);
}

}  // namespace husk::wire
