// AttachStream over the session of a create or an exec.
#pragma once

#include "agent/client/frame_client.h"

namespace husk {

// Its end is the session's.
std::unique_ptr<AttachStream> attach_stream(FrameClient& client, uint32_t session,
                                            std::shared_ptr<FrameInbox> inbox);

}  // namespace husk
