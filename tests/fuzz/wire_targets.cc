// What peers say: the control socket's, QEMU's, the agent's messages. The guest, and so QEMU, are not
// trusted.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "agent/client/reply_inbox.h"
#include "agent/guest/guest_config.h"
#include "agent/server/border.h"
#include "agent/server/requests.h"
#include "agent/wire/channel.h"
#include "agent/wire/wire.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/message.h"
#include "libcontainer/linux/netlink.h"
#include "spec/binary.h"
#include "tests/fuzz/targets.h"
#include "vm/qemu/qmp.h"
#include "vm/sandbox/control.h"

namespace husk::fuzz {
namespace {

// Takes the first byte off.
unsigned take_byte(std::string_view& input) {
  if (input.empty()) return 0;
  const unsigned byte = static_cast<unsigned char>(input[0]);
  input.remove_prefix(1);
  return byte;
}

void send_raw(int socket, std::string_view text, unsigned fds) {
  std::vector<char> control(CMSG_SPACE(sizeof(int) * std::max(fds, 1u)));
  iovec iov{const_cast<char*>(text.data()), text.size()};
  msghdr msg{};
  msg.msg_iov = &iov;
  msg.msg_iovlen = 1;
  if (fds > 0) {
    msg.msg_control = control.data();
    msg.msg_controllen = control.size();
    cmsghdr* c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int) * fds);
    for (unsigned i = 0; i < fds; ++i) memcpy(CMSG_DATA(c) + i * sizeof socket, &socket, sizeof socket);
  }
  // More fds than the kernel passes, or a larger message, are not sent.
  (void)!sendmsg(socket, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

template <typename Request>
bool parse(std::string_view bytes, Request& request) {
  return request.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
}

guest::Guest& empty_guest() {
  static auto* reaper = new guest::Reaper;  // lives as long as the process
  static InitProgram no_program("/nonexistent");
  static guest::Guest guest(*reaper, no_program);
  return guest;
}

// A request to it, but for what needs a machine of its own: what it does before it finds out that there is no
// container.
void request(std::string_view bytes) {
  using agent::Request;
  Request request;
  if (!parse(bytes, request)) return;
  switch (request.kind_case()) {
    case Request::kMountShare:
    case Request::kConfigureNetwork:
    case Request::kShutdown:
    case Request::kUnplug:
      return;
    default:
      require(answer(empty_guest(), request).IsInitialized(), "every request has an answer");
  }
}

// What comes over the wire, on either side.
void frames(std::string_view bytes) {
  auto pair = socket_pair(SOCK_STREAM);
  (void)!send(pair.first.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  pair.first.reset();
  wire::FrameLink link(std::move(pair.second));
  ReplyInbox inbox;
  wire::Channel channel(link, 1);
  size_t sum = 0;
  allowed_to_fail([&] {
    while (std::optional<wire::Frame> frame = link.read()) {
      sum += wire::kFrameHeader + frame->data.size();
      channel.hear(*frame);
      if (!inbox.hear(std::move(*frame))) break;
    }
  });
  require(sum <= bytes.size(), "nothing is read that was not written");
  size_t kept = 0;
  channel.end(true);
  while (std::optional<wire::Frame> frame = channel.next())
    if (frame->kind == wire::FrameKind::kData) kept += frame->data.size();
  require(kept <= wire::kChannelWindow, "a channel keeps no more than its window");
}

// What a session makes, up to where it would begin to.
void create_container(std::string_view bytes) {
  agent::CreateContainerRequest request;
  if (!parse(bytes, request)) return;
  allowed_to_fail([&] {
    checked_id(request.container_id());
    auto config = spec::from_binary<spec::Config>(request.config());
    localize(config);
    guest::guest_cgroup_path(config, request.container_id());
  });
}

void exec(std::string_view bytes) {
  agent::ExecRequest request;
  if (!parse(bytes, request)) return;
  allowed_to_fail([&] {
    checked_id(request.process_id());
    spec::from_binary<spec::Process>(request.process());
  });
}

void interface(std::string_view bytes) {
  allowed_to_fail([&] {
    const Interface once = interface_from_bytes(bytes);
    require(interface_from_bytes(interface_to_bytes(once)) == once, "an interface survives its round trip");
  });
}

// What the guest says of a failed call.
void failed_call(std::string_view json) {
  const Error e = wire::decode_error(json, Error(ErrorKind::kInternal, "the call failed"));
  require(e.message() == one_line(e.message()), "the guest's words are one line");
  require(e.message().size() < 64u << 10, "the guest's words are few");
}

}  // namespace

void message(std::string_view input) {
  const unsigned fds = take_byte(input);
  auto pair = socket_pair(SOCK_SEQPACKET);
  send_raw(pair.first.get(), input, fds);
  shutdown(pair.first.get(), SHUT_WR);
  Message message;
  const bool got = allowed_to_fail([&] {
    if (!receive_message(pair.second.get(), message, std::chrono::seconds(5)))
      throw Error(ErrorKind::kInvalid, "end");
  });
  if (!got) return;
  require(message.body.is_object() && message.fds.size() == fds, "a message is an object, with all its fds");
  allowed_to_fail([&] { throw_if_error(message.body); });
  try {
    const Json boot = vm::boot_to_json(vm::boot_from_json(message.body));
    require(vm::boot_to_json(vm::boot_from_json(boot)) == boot, "a boot request survives its round trip");
  } catch (const Json::exception&) {  // husk-sandbox's main and its handler of requests catch these
  }
}

void qmp(std::string_view input) {
  auto pair = socket_pair(SOCK_STREAM);
  (void)!send(pair.first.get(), input.data(), input.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  shutdown(pair.first.get(), SHUT_WR);
  vm::Qmp qmp(std::move(pair.second));
  for (int i = 0; i < 3; ++i) {
    allowed_to_fail([&] { qmp.execute("query-status", Json::object(), {}, std::chrono::seconds(5)).dump(); });
    require(qmp.take_events().size() <= vm::Qmp::kMaxEvents, "events are bounded");
  }
}

void binary(std::string_view input) {
  spec::Config config;
  if (!allowed_to_fail([&] { config = spec::from_binary<spec::Config>(input); })) return;
  require(spec::to_binary(config) == input, "a config has one encoding");
}

void agent(std::string_view input) {
  switch (take_byte(input) % 6) {
    case 0:
      return create_container(input);
    case 1:
      return interface(input);
    case 2:
      return failed_call(input);
    case 3:
      return request(input);
    case 4:
      return exec(input);
    default:
      return frames(input);
  }
}

}  // namespace husk::fuzz
