// A place in the guest where something of the host's is listened for.
#pragma once

#include <netinet/in.h>

#include <string>
#include <vector>

#include "libcontainer/base/fd.h"

namespace husk::guest {

// Where the socket of a mount "husk-socket:NAME" is; NAME is CONTAINER/INDEX.
std::string socket_path(const std::string& name);

struct SocketFile {
  std::string container;
  unsigned index = 0;
  mode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

struct LoopbackPort {
  uint32_t address = INADDR_LOOPBACK;  // of 127.0.0.0/8, host byte order
  uint16_t port = 0;
  bool datagrams = false;
};

class Listener {
 public:
  // A unix stream socket with that mode and owner. Throws.
  explicit Listener(const SocketFile& file);
  // What is said to the port in the network namespace (-1: the guest's own). The port stays free for who
  // wants to bind it, as it is on a host where Docker redirects it: the listener has another one. Throws.
  Listener(const LoopbackPort& port, int netns);
  Listener(Listener&&) = default;
  ~Listener();  // unlinks the file, if it is still its own

  int fd() const { return socket_.get(); }
  bool datagrams() const { return datagrams_; }
  bool is_file() const { return !path_.empty(); }

 private:
  UniqueFd socket_;
  bool datagrams_ = false;
  std::string path_;
  ino_t inode_ = 0;
  std::vector<UniqueFd> redirections_;
};

}  // namespace husk::guest
