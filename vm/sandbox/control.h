// husk's side of the control socket: ROOT/.vm/NAME/control.sock of a running husk-sandbox. One connection,
// one request, one reply, each a JSON message (libcontainer/base/message.h) whose "op" says what is wanted.
// Only a new container's connection lasts: `boot` (no reply) or `join`, then `mounts` and `connections` as
// often as it takes, then `create`. Until that has been answered, its end means: undo.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "libcontainer/base/message.h"
#include "vm/machine.h"

namespace husk::vm {

inline constexpr const char* kControlSocket = "control.sock";
// husk-sandbox's fds: the connection of the husk that created it, and its listening control socket.
inline constexpr int kCreatorFd = 3, kListenerFd = 4;

// The first message to a new husk-sandbox: all that it needs to start its VM.
struct BootRequest {
  std::string folder;      // where control.sock is
  std::string id;          // the first container
  bool waits = false;      // in the pool (vm/pool): there is no container yet, and another `boot` brings it
  bool takes_all = false;  // its end is the VM's
  MachineConfig machine;
  std::string template_folder;  // where a saved VM may be; empty: boot
  std::string virtiofsd, virtiofs_cache;
  std::string log_path, log_format, log_level;
  std::string trace_path;  // empty: no trace
};
Json boot_to_json(const BootRequest& request);
BootRequest boot_from_json(const Json& json);

// As request(), over a connection that stays.
Json converse(int socket, const Json& body, const std::vector<int>& fds, std::chrono::milliseconds timeout);
// True if somebody listens there. A sandbox that has ended is false, whatever it left. Throws kTimeout
// (deadline::kControlConnect) for one that takes no connection.
bool connect_control(const std::string& sandbox_folder, UniqueFd& out);
// Sends and receives; false when the other side has gone. Throws kTimeout.
bool exchange(int socket, const Json& body, const std::vector<int>& fds, Message& reply,
              std::chrono::milliseconds timeout);
// Sends the request and returns the reply's body; throws the error that the reply carries, kWrongState
// ("container not running") when no sandbox is there or it ended without an answer, kTimeout.
Json request(const std::string& sandbox_folder, const Json& body, const std::vector<int>& fds = {},
             std::chrono::milliseconds timeout = std::chrono::milliseconds(60000));

}  // namespace husk::vm
