// A synchronous stream has one deadline for its whole life, so its first answer is watched from outside.
#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <mutex>
#include <thread>

#include "libcontainer/base/deadlines.h"

namespace husk {

// False: the stream has ended. late: because the answer did not come in time.
template <typename Stream, typename Answer>
bool read_first(grpc::ClientContext& context, Stream& stream, Answer& answer, bool& late) {
  std::mutex mutex;
  std::condition_variable changed;
  bool done = false;
  std::thread watchdog([&] {
    std::unique_lock lock(mutex);
    late = !changed.wait_for(lock, deadline::kAgentCall, [&] { return done; });
    if (late) context.TryCancel();
  });
  const bool ok = stream.Read(&answer);
  {
    std::lock_guard lock(mutex);
    done = true;
    changed.notify_one();
  }
  watchdog.join();
  return ok;
}

}  // namespace husk
