#include "agent/client/connection_streams.h"

#include "agent/wire/carry.h"
#include "agent/wire/wire.h"

namespace husk {
namespace {

using wire::Channel;
using wire::Frame;
using wire::FrameKind;

constexpr size_t kMaxPeer = 128;  // sizeof(sockaddr_storage)

// A channel until its end.
class Opened {
 public:
  Opened(FrameClient& client, uint32_t session, std::shared_ptr<Channel> channel)
      : client_(client), session_(session), channel_(std::move(channel)) {}
  ~Opened() { client_.end_session(session_); }
  Channel& operator*() const { return *channel_; }
  Channel* operator->() const { return channel_.get(); }

 private:
  FrameClient& client_;
  const uint32_t session_;
  const std::shared_ptr<Channel> channel_;
};

class FrameListenStream : public ListenStream {
 public:
  FrameListenStream(FrameClient& client, uint32_t session, std::shared_ptr<Channel> channel)
      : channel_(client, session, std::move(channel)) {}

  bool read(News& news) override {
    while (const std::optional<Frame> frame = channel_->next()) {
      if (frame->kind != FrameKind::kData) continue;
      channel_->taken(frame->data.size());
      if (translate(frame->data, news)) return true;
    }
    return false;
  }

  bool answer(const std::string& peer, std::string_view data) override {
    agent::Datagram message;
    message.set_peer(peer);
    message.set_data(data.data(), data.size());
    const std::string piece = message.SerializeAsString();
    return piece.size() > wire::kMaxChunk || channel_->send(piece);  // a large one is lost, as datagrams are
  }

  void cancel() override { channel_->close(); }

 private:
  // False: nothing that is ours to see.
  static bool translate(const std::string& data, News& news) {
    agent::Heard heard;
    if (!heard.ParseFromString(data)) return false;
    news = {};
    if (heard.has_connection()) {
      const agent::Connection& connection = heard.connection();
      news.connection = connection.id();
      news.uid = connection.uid();
      news.gid = connection.gid();
      news.groups.assign(connection.groups().begin(), connection.groups().end());
      return true;
    }
    agent::Datagram& question = *heard.mutable_question();
    if (question.peer().empty() || question.peer().size() > kMaxPeer) return false;
    news.event = Event::kQuestion;
    news.peer = std::move(*question.mutable_peer());
    news.data = std::move(*question.mutable_data());
    return true;
  }

  const Opened channel_;
};

class FrameCarryStream : public CarryStream {
 public:
  FrameCarryStream(FrameClient& client, uint32_t session, std::shared_ptr<Channel> channel)
      : channel_(client, session, std::move(channel)) {}

  bool run(UniqueFd socket) override { return wire::carry(std::move(socket), *channel_); }
  void cancel() override { channel_->close(); }

 private:
  const Opened channel_;
};

}  // namespace

std::unique_ptr<ListenStream> listen_stream(FrameClient& client, uint32_t session,
                                            std::shared_ptr<Channel> channel) {
  return std::make_unique<FrameListenStream>(client, session, std::move(channel));
}

std::unique_ptr<CarryStream> carry_stream(FrameClient& client, uint32_t session,
                                          std::shared_ptr<Channel> channel) {
  return std::make_unique<FrameCarryStream>(client, session, std::move(channel));
}

}  // namespace husk
