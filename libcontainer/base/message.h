// One message with fds over an AF_UNIX SOCK_SEQPACKET socket: what husk, husk-sandbox, husk-shim and
// husk-init say to one another. The payload is JSON (nlohmann), so that a newer peer's extra fields are
// simply not read; husk-init, which is of its parent's build, speaks in bytes (libcontainer/init/control.h).
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"

namespace husk {

// nlohmann's default object keeps keys sorted, which is what we want on disk and on the wire.
using Json = nlohmann::json;

inline constexpr size_t kMaxMessage = 160u << 10;  // below the kernel's default socket buffer
inline constexpr size_t kMaxMessageFds = 64;

// JSON from a peer that is not trusted, or only husk's own by agreement: discarded (is_discarded()) when it
// is no JSON or nests deeper than any of our messages, since whatever copies or prints such a value recurses.
Json parse_untrusted(std::string_view text);

struct Message {
  Json body;
  std::vector<UniqueFd> fds;
};

// Throws on EPIPE and on a body larger than kMaxMessage. Never raises SIGPIPE.
void send_message(int socket, const Json& body, const std::vector<int>& fds = {});
// Waits at most `timeout` (negative: for ever). Returns false at EOF. Throws kTimeout, or kInvalid for what
// is not JSON, was truncated or carries more than kMaxMessageFds fds.
bool receive_message(int socket, Message& out, std::chrono::milliseconds timeout);

// The same with any bytes (but not none: that is EOF).
struct Packet {
  std::string bytes;
  std::vector<UniqueFd> fds;
};
void send_packet(int socket, std::string_view bytes, const std::vector<int>& fds = {});
bool receive_packet(int socket, Packet& out, std::chrono::milliseconds timeout);

// {"error": {"kind", "errno", "message"}} and back.
Json error_to_json(const Error& error);
Error error_from_json(const Json& json);  // what is missing or of another type is left out; never throws
// Throws the error that a reply carries, if it carries one.
void throw_if_error(const Json& reply);

// Listening and connecting below an open folder, so that no path is longer than sun_path (108 bytes): the
// address is /proc/self/fd/DIR/NAME.
UniqueFd listen_at(int dir_fd, const std::string& name, int type);
// timeout: how long the listener's queue may be full (0: for ever), and then the socket's later sends' too.
// Throws kTimeout.
UniqueFd connect_at(int dir_fd, const std::string& name, int type, std::chrono::seconds timeout = {});

// A SOCK_STREAM connection to somebody else's socket. Throws "WHAT PATH: errno".
UniqueFd connect_stream(const std::string& path, const std::string& what);
// One sendmsg(2). Never raises SIGPIPE. Throws "WHAT: errno".
void send_with_fds(int socket, std::string_view text, const std::vector<int>& fds, std::string_view what);

// Sends one fd with runc's console-socket protocol: a SOCK_STREAM message whose text is the pty's name.
void send_console(const std::string& socket_path, int master_fd, const std::string& name);

}  // namespace husk
