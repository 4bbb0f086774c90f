#include "agent/server/channels.h"

#include <thread>
#include <utility>

#include "agent/guest/connections.h"
#include "agent/guest/log.h"
#include "agent/server/border.h"
#include "agent/wire/carry.h"
#include "agent/wire/wire.h"

namespace husk {
namespace {

using wire::FrameKind;

guest::Listener listen_at(guest::Guest& guest, const agent::ListenRequest& where) {
  if (where.has_file()) {
    const agent::SocketFile& file = where.file();
    return guest::Listener(guest::SocketFile{checked_id(file.container_id()), file.index(), file.mode(),
                                             file.uid(), file.gid()});
  }
  const agent::LoopbackPort& port = where.port();
  if (port.port() == 0 || port.port() > UINT16_MAX)
    throw Error(ErrorKind::kInvalid, "no such port: " + std::to_string(port.port()));
  return guest.listen({port.address(), static_cast<uint16_t>(port.port()), port.datagrams()}, port.network());
}

agent::Heard encode(guest::Heard heard) {
  agent::Heard message;
  if (heard.connection == 0) {
    message.mutable_question()->set_peer(std::move(heard.datagram.peer));
    message.mutable_question()->set_data(std::move(heard.datagram.data));
    return message;
  }
  agent::Connection& connection = *message.mutable_connection();
  connection.set_id(heard.connection);
  connection.set_uid(heard.uid);
  connection.set_gid(heard.gid);
  for (const gid_t group : heard.groups) connection.add_groups(group);
  return message;
}

// told: of a refusal; how often one is tried is the container's to say.
bool tell(guest::Guest& guest, wire::Channel& channel, guest::Heard heard, bool& told) {
  const uint64_t connection = heard.connection;
  const std::string piece = encode(std::move(heard)).SerializeAsString();
  if (piece.size() <= wire::kMaxChunk) return channel.send(piece);
  if (!std::exchange(told, true))
    guest::log_warning("a connection is refused: its process is in too many groups");
  guest.connections().take(connection);  // and its end
  return true;
}

// The other thread of a listening: ends when the host is gone or has heard enough.
void read_answers(wire::Channel& channel, guest::Listening& listening) try {
  while (const std::optional<wire::Frame> frame = channel.next()) {
    agent::Datagram answer;
    if (frame->kind != FrameKind::kData) continue;
    channel.taken(frame->data.size());
    if (!answer.ParseFromString(frame->data)) continue;
    listening.answer({std::move(*answer.mutable_peer()), std::move(*answer.mutable_data())});
  }
  listening.stop();
} catch (const std::exception&) {  // no memory
  listening.stop();
}

void listen(guest::Guest& guest, const agent::ListenRequest& where, wire::Channel& channel) {
  guest::Listening listening(listen_at(guest, where), guest.connections(), wire::kMaxConnections);
  std::thread answers([&] { read_answers(channel, listening); });
  const std::shared_ptr<void> over(nullptr, [&](void*) {
    channel.close();
    answers.join();
  });
  agent::Reply listens;
  listens.mutable_done();
  channel.reply(listens.SerializeAsString());
  bool told = false;
  listening.run([&](guest::Heard heard) { return tell(guest, channel, std::move(heard), told); });
}

void carry(guest::Guest& guest, const agent::CarryRequest& request, wire::Channel& channel) {
  guest::Connection connection = guest.connections().take(request.connection());
  wire::carry(std::move(connection.socket), channel);
}

}  // namespace

void serve_channel(guest::Guest& guest, const agent::Request& request, wire::Channel& channel) {
  if (request.has_listen()) return listen(guest, request.listen(), channel);
  if (request.has_carry()) return carry(guest, request.carry(), channel);
  throw Error(ErrorKind::kInvalid, "no request for a channel");
}

}  // namespace husk
