// NOTIFY_SOCKET of sd_notify(3), as runc has it: the container finds a socket at /run/notify/notify.sock, and
// who starts it hands its READY=1 on to the service manager, with the pid to watch. Not in VMs, which is
// told.
#pragma once

#include "cmd/husk/context.h"
#include "libcontainer/container/bundle.h"
#include "libcontainer/container/foreground.h"

namespace husk::cmd {

// Before the container is made: its mount, and the variable for its process.
void offer_notify_socket(Context& context, Bundle& bundle, Container::CreateOptions& options);

class Notify : public Foreground::Watched {
 public:
  // Makes the socket, before the container's start. Does nothing without NOTIFY_SOCKET, or where create had
  // none.
  Notify(Context& context, const std::string& id);
  // -1: there is nothing (more) to hand on.
  int fd() const override { return socket_.get(); }
  void on_readable() override { hand_on(0); }
  // Until the container has said READY=1, which may take as long as it takes, or has ended.
  void wait(pid_t pid);

 private:
  void hand_on(pid_t main_pid);  // 0: it is for whoever started us to find out

  UniqueFd socket_;
};

}  // namespace husk::cmd
