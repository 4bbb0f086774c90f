// A standard stream that came from husk's caller: a pipe, a terminal, a socket, a file, a device. We share it
// with others, whose blocking or not is not ours to change.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "libcontainer/base/fd.h"

namespace husk {

// A pipe or terminal becomes an open file of our own, which never blocks. What cannot be opened anew (a
// socket, a pipe whose other end is gone) stays as it is. mode: O_RDONLY or O_WRONLY.
void unblock(UniqueFd& fd, int mode);
// read(2) and write(2), without waiting where that is possible, and without SIGPIPE from a socket.
ssize_t read_some(int fd, std::string& buffer);
ssize_t write_some(int fd, std::string_view data);

bool is_dev_null(int fd);
// A fifo in a file system: a reader who goes may come back.
bool is_named_fifo(int fd);
// Both are the same pipe, terminal or socket, or the same open file: what is written to either keeps its
// order.
bool is_same_output(int a, int b);

}  // namespace husk
