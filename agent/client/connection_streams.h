// ListenStream and CarryStream over a channel of a FrameClient.
#pragma once

#include <cstdint>
#include <memory>

#include "agent/client/connections.h"
#include "agent/client/frame_client.h"

namespace husk {

std::unique_ptr<ListenStream> listen_stream(FrameClient& client, uint32_t session,
                                            std::shared_ptr<wire::Channel> channel);
std::unique_ptr<CarryStream> carry_stream(FrameClient& client, uint32_t session,
                                          std::shared_ptr<wire::Channel> channel);

}  // namespace husk
