#include <sys/eventfd.h>

#include <mutex>
#include <thread>

#include "agent/guest/connections.h"
#include "agent/server/border.h"
#include "agent/server/service.h"
#include "agent/wire/carry.h"

namespace husk {
namespace {

using agent::Data;
using agent::ListenInput;
using agent::ListenOutput;
using ListenServer = grpc::ServerReaderWriter<ListenOutput, ListenInput>;

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

ListenOutput encode(guest::Heard heard) {
  ListenOutput message;
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

// The other thread of a Listen: ends when the host is gone or has heard enough.
void read_answers(ListenServer& stream, guest::Listening& listening) {
  ListenInput message;
  while (stream.Read(&message)) {
    if (message.kind_case() != ListenInput::kAnswer) continue;
    agent::Datagram& answer = *message.mutable_answer();
    listening.answer({std::move(*answer.mutable_peer()), std::move(*answer.mutable_data())});
  }
  listening.stop();
}

}  // namespace

grpc::Status AgentService::Listen(grpc::ServerContext*, ListenServer* stream) {
  return at_border([&] {
    ListenInput first;
    if (!stream->Read(&first)) return;
    if (first.kind_case() != ListenInput::kListen)
      throw Error(ErrorKind::kInvalid, "listen: the first message does not say where");
    guest::Listening listening(listen_at(guest_, first.listen()), guest_.connections(),
                               wire::kMaxConnections);
    ListenOutput listens;
    listens.mutable_listening();
    stream->Write(listens);
    std::thread answers([&] { read_answers(*stream, listening); });
    listening.run([&](guest::Heard heard) { return stream->Write(encode(std::move(heard))); });
    answers.join();
  });
}

grpc::Status AgentService::Carry(grpc::ServerContext* context, grpc::ServerReaderWriter<Data, Data>* stream) {
  return at_border([&] {
    Data first;
    if (!stream->Read(&first)) return;
    guest::Connection connection = guest_.connections().take(first.connection());
    UniqueFd stop(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd"));
    std::mutex write_mutex;
    const wire::DataStream data = {[&](Data& message) { return stream->Read(&message); },
                                   [&](const Data& message) {
                                     std::lock_guard lock(write_mutex);
                                     return stream->Write(message);
                                   },
                                   [] {}, [&] { context->TryCancel(); }};
    wire::carry(std::move(connection.socket), data, stop.get());
  });
}

}  // namespace husk
