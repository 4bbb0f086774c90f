// AttachStream over the session of a create or an exec.
#pragma once

#include "agent/client/frame_client.h"
#include "agent/client/reply_inbox.h"

namespace husk {

// Its end is the session's.
std::unique_ptr<AttachStream> attach_stream(FrameClient& client, uint32_t session,
                                            std::shared_ptr<ReplyInbox> inbox);

}  // namespace husk
