#include "agent/client/grpc_connections.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <mutex>

#include "agent/client/first_answer.h"
#include "agent/wire/carry.h"
#include "agent/wire/wire.h"

namespace husk {
namespace {

using agent::Data;
using agent::ListenInput;
using agent::ListenOutput;

constexpr int kMaxGroups = 65536;  // NGROUPS_MAX: the guest is not trusted
constexpr size_t kMaxPeer = 128;   // sizeof(sockaddr_storage)
constexpr size_t kMaxDatagram = 64u << 10;

class GrpcListenStream : public ListenStream {
 public:
  GrpcListenStream(agent::Agent::Stub& stub, const agent::ListenRequest& where)
      : stream_(stub.Listen(&context_)) {
    ListenInput first;
    *first.mutable_listen() = where;
    stream_->Write(first);
    ListenOutput answer;
    bool late = false;
    const bool ok = read_first(context_, *stream_, answer, late);
    if (ok && answer.kind_case() == ListenOutput::kListening) return;
    if (ok) context_.TryCancel();  // else the status says why it ended
    const grpc::Status status = finish();
    if (late) throw Error(ErrorKind::kTimeout, "the guest did not listen in time", ETIMEDOUT);
    if (!ok) wire::throw_if_failed(status, "");
    throw Error(ErrorKind::kInvalid, "the guest's first word on a listening stream is not \"listening\"");
  }

  ~GrpcListenStream() override {
    context_.TryCancel();
    finish();
  }

  bool read(News& news) override {
    ListenOutput message;
    while (stream_->Read(&message))
      if (translate(message, news)) return true;
    return false;
  }

  bool answer(const std::string& peer, std::string_view data) override {
    ListenInput message;
    message.mutable_answer()->set_peer(peer);
    message.mutable_answer()->set_data(data.data(), data.size());
    std::lock_guard lock(write_mutex_);
    return stream_->Write(message);
  }

  void cancel() override { context_.TryCancel(); }

 private:
  // False: nothing that is ours to see.
  static bool translate(ListenOutput& message, News& news) {
    news = {};
    if (message.kind_case() == ListenOutput::kConnection) {
      const agent::Connection& connection = message.connection();
      if (connection.groups_size() > kMaxGroups) return false;
      news.connection = connection.id();
      news.uid = connection.uid();
      news.gid = connection.gid();
      news.groups.assign(connection.groups().begin(), connection.groups().end());
      return true;
    }
    if (message.kind_case() != ListenOutput::kQuestion) return false;
    agent::Datagram& question = *message.mutable_question();
    if (question.peer().size() > kMaxPeer || question.data().size() > kMaxDatagram) return false;
    news.event = Event::kQuestion;
    news.peer = std::move(*question.mutable_peer());
    news.data = std::move(*question.mutable_data());
    return true;
  }

  grpc::Status finish() {
    ListenOutput rest;
    while (stream_->Read(&rest)) {
    }
    return stream_->Finish();
  }

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<ListenInput, ListenOutput>> stream_;
  std::mutex write_mutex_;
};

class GrpcCarryStream : public CarryStream {
 public:
  GrpcCarryStream(agent::Agent::Stub& stub, uint64_t connection)
      : stop_(check(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd")), stream_(stub.Carry(&context_)) {
    Data first;
    first.set_connection(connection);
    write(first);
  }

  ~GrpcCarryStream() override {
    if (!finished_) context_.TryCancel();
    finish();
  }

  bool run(UniqueFd socket) override {
    const wire::DataStream stream = {[this](Data& data) { return stream_->Read(&data); },
                                     [this](const Data& data) { return write(data); }, [this] { end(); },
                                     [this] { context_.TryCancel(); }};
    const bool in_order = wire::carry(std::move(socket), stream, stop_.get());
    if (!in_order) context_.TryCancel();
    finish();
    return in_order;
  }

  void refuse() override {
    end();
    finish();
  }

  void cancel() override {
    uint64_t one = 1;
    (void)!::write(stop_.get(), &one, sizeof one);
    context_.TryCancel();
  }

 private:
  bool write(const Data& data) {
    std::lock_guard lock(write_mutex_);
    return !half_closed_ && stream_->Write(data);
  }

  void end() {
    std::lock_guard lock(write_mutex_);
    if (!half_closed_) stream_->WritesDone();
    half_closed_ = true;
  }

  void finish() {
    if (finished_) return;
    finished_ = true;
    Data rest;
    while (stream_->Read(&rest)) {
    }
    stream_->Finish();
  }

  UniqueFd stop_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<Data, Data>> stream_;
  std::mutex write_mutex_;
  bool half_closed_ = false, finished_ = false;
};

}  // namespace

std::unique_ptr<ListenStream> listen_over_grpc(agent::Agent::Stub& stub, const agent::ListenRequest& where) {
  return std::make_unique<GrpcListenStream>(stub, where);
}

std::unique_ptr<CarryStream> carry_over_grpc(agent::Agent::Stub& stub, uint64_t connection) {
  return std::make_unique<GrpcCarryStream>(stub, connection);
}

}  // namespace husk
