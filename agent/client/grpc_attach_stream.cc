#include "agent/client/grpc_attach_stream.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "agent/client/first_answer.h"
#include "agent/wire/wire.h"

namespace husk {
namespace {

using agent::AttachInput;
using agent::AttachOutput;

// What is on the way of one output.
class OutputWindow {
 public:
  void add(size_t bytes) {
    std::lock_guard lock(mutex_);
    on_the_way_ += bytes;
    if (on_the_way_ > wire::kOutputWindow + wire::kMaxRest)
      throw Error(ErrorKind::kInvalid, "the guest sends more output than its window");
  }
  // Returns how much the guest is to be told of now: not each line of output is worth a message back.
  size_t take(size_t bytes) {
    std::lock_guard lock(mutex_);
    untold_ += bytes;
    if (untold_ < wire::kOutputWindow / 4) return 0;
    on_the_way_ -= std::min(on_the_way_, untold_);
    return std::exchange(untold_, 0);
  }

 private:
  std::mutex mutex_;
  size_t on_the_way_ = 0, untold_ = 0;
};

class GrpcAttachStream : public AttachStream {
 public:
  GrpcAttachStream(agent::Agent::Stub& stub, const AttachInput& first, agent::Attached& attached)
      : stream_(stub.Attach(&context_)) {
    send(first);
    AttachOutput answer;
    bool late = false;
    const bool ok = read_first(context_, *stream_, answer, late, deadline::kAgentCreate);
    if (ok && answer.kind_case() == AttachOutput::kAttached) {
      attached = std::move(*answer.mutable_attached());
      return;
    }
    if (ok) context_.TryCancel();  // else the status says why it ended
    end();
    if (late) throw Error(ErrorKind::kTimeout, "the guest did not make the process in time", ETIMEDOUT);
    if (ok)
      throw Error(ErrorKind::kInvalid, "the guest's first word on an attached stream is not \"attached\"");
    wire::throw_if_failed(status_, "");
    throw Error(ErrorKind::kInternal, "the guest ended the attached stream at once");
  }

  ~GrpcAttachStream() override {
    context_.TryCancel();
    if (!ended_) end();
  }

  bool read(Output& out) override {
    if (ended_) return false;
    AttachOutput message;
    while (stream_->Read(&message)) {
      bool tell = translate(message, out);
      if (exited_ && stdout_eof_ && stderr_eof_) half_close();
      if (tell) return true;
    }
    end();
    if (exited_ && stdout_eof_ && stderr_eof_) return false;
    wire::throw_if_failed(status_, "");
    throw Error(ErrorKind::kInternal, "the guest ended the attached stream too early");
  }

  bool write_stdin(std::string_view data) override {
    while (!data.empty()) {
      size_t size = 0;
      {
        std::unique_lock lock(credit_mutex_);
        credit_changed_.wait(lock, [this] { return over_ || credit_ > 0; });
        if (over_) return false;
        size = std::min({data.size(), wire::kMaxChunk, credit_});
        credit_ -= size;
      }
      AttachInput message;
      message.set_stdin(data.data(), size);
      if (!send(message)) return false;
      data.remove_prefix(size);
    }
    return true;
  }

  bool close_stdin() override {
    AttachInput message;
    message.mutable_stdin_eof();
    return send(message);
  }

  bool resize(unsigned rows, unsigned columns) override {
    AttachInput message;
    message.mutable_window()->set_rows(rows);
    message.mutable_window()->set_columns(columns);
    return send(message);
  }

  bool close_stdout() override {
    AttachInput message;
    message.mutable_stdout_closed();
    return send(message);
  }

  bool close_stderr() override {
    AttachInput message;
    message.mutable_stderr_closed();
    return send(message);
  }

  bool stdout_taken(size_t bytes) override {
    const size_t told = out_.take(bytes);
    AttachInput message;
    message.set_stdout_taken(static_cast<uint32_t>(told));
    return told == 0 || send(message);
  }

  bool stderr_taken(size_t bytes) override {
    const size_t told = err_.take(bytes);
    AttachInput message;
    message.set_stderr_taken(static_cast<uint32_t>(told));
    return told == 0 || send(message);
  }

  void cancel() override {
    context_.TryCancel();
    set_over();
  }

 private:
  // True when the caller of read() gets to see it.
  bool translate(AttachOutput& message, Output& out) {
    switch (message.kind_case()) {
      case AttachOutput::kStdout:
        out_.add(message.stdout().size());
        out = {Event::kStdout, std::move(*message.mutable_stdout()), {}, false};
        return true;
      case AttachOutput::kStderr:
        err_.add(message.stderr().size());
        out = {Event::kStderr, std::move(*message.mutable_stderr()), {}, false};
        return true;
      case AttachOutput::kStdoutEof:
        stdout_eof_ = true;
        out = {Event::kStdoutEof, {}, {}, false};
        return true;
      case AttachOutput::kStderrEof:
        stderr_eof_ = true;
        out = {Event::kStderrEof, {}, {}, false};
        return true;
      case AttachOutput::kExited: {
        exited_ = true;
        set_over();
        const agent::Exited& exited = message.exited();
        out = {Event::kExited, {}, {exited.code(), exited.signal()}, exited.oom_killed()};
        return true;
      }
      case AttachOutput::kStdinClosed:
        out = {Event::kStdinClosed, {}, {}, false};
        return true;
      case AttachOutput::kStdinTaken: {
        std::lock_guard lock(credit_mutex_);
        credit_ = std::min<size_t>(wire::kStdinWindow, credit_ + message.stdin_taken());
        credit_changed_.notify_all();
        return false;
      }
      default:
        return false;  // from a newer guest
    }
  }

  bool send(const AttachInput& message) {
    std::lock_guard lock(write_mutex_);
    return !half_closed_ && stream_->Write(message);
  }

  void half_close() {
    std::lock_guard lock(write_mutex_);
    if (!half_closed_) stream_->WritesDone();
    half_closed_ = true;
  }

  void set_over() {
    std::lock_guard lock(credit_mutex_);
    over_ = true;
    credit_changed_.notify_all();
  }

  void end() {
    set_over();
    AttachOutput rest;
    while (stream_->Read(&rest)) {
    }
    std::lock_guard lock(write_mutex_);
    half_closed_ = true;
    status_ = stream_->Finish();
    ended_ = true;
  }

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<AttachInput, AttachOutput>> stream_;
  grpc::Status status_;
  bool ended_ = false, exited_ = false, stdout_eof_ = false, stderr_eof_ = false;  // read()'s thread only

  std::mutex write_mutex_;
  bool half_closed_ = false;
  std::mutex credit_mutex_;
  std::condition_variable credit_changed_;
  size_t credit_ = wire::kStdinWindow;
  bool over_ = false;
  OutputWindow out_, err_;
};

}  // namespace

std::unique_ptr<AttachStream> attach_over_grpc(agent::Agent::Stub& stub, const AttachInput& first,
                                               agent::Attached& attached) {
  return std::make_unique<GrpcAttachStream>(stub, first, attached);
}

}  // namespace husk
