#include "agent/client/frame_attach_stream.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "agent/wire/wire.h"

namespace husk {
namespace {

using wire::Frame;
using wire::FrameKind;

class FrameAttachStream : public AttachStream {
 public:
  FrameAttachStream(FrameClient& client, uint32_t session, std::shared_ptr<ReplyInbox> inbox)
      : client_(client), session_(session), inbox_(std::move(inbox)) {}

  ~FrameAttachStream() override { complete() ? client_.forget(session_) : client_.end_session(session_); }

  bool read(Output& out) override {
    while (std::optional<Frame> frame = inbox_->next())
      if (translate(*frame, out)) return true;
    set_over();
    if (complete()) return false;
    if (inbox_->gone()) throw Error(ErrorKind::kGuestDied, "the connection to the guest is gone");
    throw Error(ErrorKind::kInvalid, "the guest ended the attached stream too early, or says too much in it");
  }

  bool write_stdin(std::string_view data) override {
    while (!data.empty()) {
      size_t size = 0;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return over_ || credit_ > 0; });
        if (over_) return false;
        size = std::min({data.size(), wire::kMaxChunk, credit_});
        credit_ -= size;
      }
      if (!client_.write(session_, FrameKind::kStdin, data.substr(0, size))) return false;
      data.remove_prefix(size);
    }
    return true;
  }

  bool close_stdin() override {
    agent::Input input;
    input.mutable_stdin_eof();
    return say(input);
  }

  bool resize(unsigned rows, unsigned columns) override {
    agent::Input input;
    input.mutable_window()->set_rows(rows);
    input.mutable_window()->set_columns(columns);
    return say(input);
  }

  bool close_stdout() override {
    agent::Input input;
    input.mutable_stdout_closed();
    return say(input);
  }

  bool close_stderr() override {
    agent::Input input;
    input.mutable_stderr_closed();
    return say(input);
  }

  bool stdout_taken(size_t bytes) override {
    agent::Input input;
    const size_t told = inbox_->take(FrameKind::kStdout, bytes);
    input.set_stdout_taken(static_cast<uint32_t>(told));
    return told == 0 || say(input);
  }

  bool stderr_taken(size_t bytes) override {
    agent::Input input;
    const size_t told = inbox_->take(FrameKind::kStderr, bytes);
    input.set_stderr_taken(static_cast<uint32_t>(told));
    return told == 0 || say(input);
  }

  void cancel() override {
    set_over();
    inbox_->end(false);
  }

 private:
  bool complete() const { return exited_ && stdout_eof_ && stderr_eof_; }

  // True when the caller of read() gets to see it.
  bool translate(Frame& frame, Output& out) {
    switch (frame.kind) {
      case FrameKind::kStdout:
        require(!frame.data.empty() && !stdout_eof_);
        out = {Event::kStdout, std::move(frame.data), {}, false};
        return true;
      case FrameKind::kStderr:
        require(!frame.data.empty() && !stderr_eof_);
        out = {Event::kStderr, std::move(frame.data), {}, false};
        return true;
      case FrameKind::kOutput:
        return translate_words(frame.data, out);
      default:
        require(false);
        return false;
    }
  }

  // What is told more than once would be kept as often, where nobody reads.
  static void require(bool right) {
    if (!right) throw Error(ErrorKind::kInvalid, "the guest says what is no output, or says it twice");
  }

  bool translate_words(const std::string& data, Output& out) {
    agent::Output message;
    require(message.ParseFromString(data));
    switch (message.kind_case()) {
      case agent::Output::kStdoutEof:
        require(!stdout_eof_.exchange(true));
        out = {Event::kStdoutEof, {}, {}, false};
        return true;
      case agent::Output::kStderrEof:
        require(!stderr_eof_.exchange(true));
        out = {Event::kStderrEof, {}, {}, false};
        return true;
      case agent::Output::kExited: {
        require(!exited_.exchange(true));
        set_over();
        const agent::Exited& exited = message.exited();
        out = {Event::kExited, {}, {exited.code(), exited.signal()}, exited.oom_killed()};
        return true;
      }
      case agent::Output::kStdinClosed:
        require(!std::exchange(stdin_closed_, true));
        out = {Event::kStdinClosed, {}, {}, false};
        return true;
      case agent::Output::kStdinTaken: {
        std::lock_guard lock(mutex_);
        credit_ = std::min<size_t>(wire::kStdinWindow, credit_ + message.stdin_taken());
        changed_.notify_all();
        return false;
      }
      default:
        return false;  // from a newer guest
    }
  }

  bool say(const agent::Input& input) {
    return client_.write(session_, FrameKind::kInput, input.SerializeAsString());
  }

  void set_over() {
    std::lock_guard lock(mutex_);
    over_ = true;
    changed_.notify_all();
  }

  FrameClient& client_;
  const uint32_t session_;
  const std::shared_ptr<ReplyInbox> inbox_;
  std::atomic<bool> exited_{false}, stdout_eof_{false}, stderr_eof_{false};
  bool stdin_closed_ = false;  // read()'s own

  std::mutex mutex_;
  std::condition_variable changed_;
  size_t credit_ = wire::kStdinWindow;
  bool over_ = false;
};

}  // namespace

std::unique_ptr<AttachStream> attach_stream(FrameClient& client, uint32_t session,
                                            std::shared_ptr<ReplyInbox> inbox) {
  return std::make_unique<FrameAttachStream>(client, session, std::move(inbox));
}

}  // namespace husk
