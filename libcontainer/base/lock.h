// flock(2) with a deadline.
#pragma once

#include <chrono>

namespace husk {

// Takes the exclusive lock of an open file or folder; it goes with the last copy of the fd. False when
// somebody else has held it all the time. For single-threaded processes: SIGALRM ends the wait. Throws "lock:
// errno".
bool lock_exclusively(int fd, std::chrono::seconds timeout);

}  // namespace husk
