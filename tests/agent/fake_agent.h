// A fake guest for tests, on a socketpair: what a test does not say itself is answered politely.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent.pb.h"
#include "agent/client/reply_inbox.h"
#include "agent/wire/channel.h"
#include "agent/wire/wire.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"

namespace husk::testing {

// A process's session, as the guest has it.
class FakeSession {
 public:
  FakeSession(wire::FrameLink& link, uint32_t id) : link_(link), id_(id) {}
  // What the host says next; false at its end.
  bool read(wire::Frame& frame) {
    std::optional<wire::Frame> next = inbox_.next();
    if (next) frame = std::move(*next);
    return next.has_value();
  }
  bool read(agent::Input& input) {
    wire::Frame frame;
    while (read(frame))
      if (frame.kind == wire::FrameKind::kInput) return input.ParseFromString(frame.data);
    return false;
  }
  bool say(const agent::Output& output) { return say(wire::FrameKind::kOutput, output.SerializeAsString()); }
  // False once the host has ended it.
  bool say(wire::FrameKind kind, std::string_view data) { return !over_ && link_.write(id_, kind, data); }
  void hear(wire::Frame frame) {
    over_ = over_ || frame.kind == wire::FrameKind::kEnd;
    inbox_.hear(std::move(frame));
  }
  void end() {
    over_ = true;
    inbox_.end(false);
  }

 private:
  wire::FrameLink& link_;
  const uint32_t id_;
  ReplyInbox inbox_;
  std::atomic<bool> over_{false};
};

class FakeAgent {
 public:
  FakeAgent() = default;
  ~FakeAgent() { stop(); }

  // Starts serving; returns the client's end.
  UniqueFd start() {
    auto [ours, theirs] = socket_pair(SOCK_STREAM);
    link_.emplace(std::move(theirs));
    hearing_ = std::thread([this] { hear(); });
    return std::move(ours);
  }

  // The guest dies: the connection ends in the middle of whatever goes on.
  void die() { link_->end(); }

  void stop() {
    if (!hearing_.joinable()) return;
    die();
    hearing_.join();
    for (std::thread& thread : attached_) thread.join();
  }

  // What was called, in order: "Hello", "create c1", "exec c1/p1", …
  std::vector<std::string> calls() const {
    std::lock_guard lock(mutex_);
    return calls_;
  }
  std::atomic<uint32_t> protocol_version{wire::kProtocolVersion};
  std::vector<std::string> create_warnings;  // set before the call
  // What TakeTrace answers; set before the call.
  std::string events_json = "[]";
  int64_t trace_clock_ns = 0;
  // Goes on after every "attached"; set before the first call. The default echoes stdin until its end, and
  // exits with 0.
  std::function<void(FakeSession&)> on_attach = [](FakeSession& session) { echo(session); };
  // Has a channel until it returns; throws what it is refused for. Set before the first call.
  std::function<void(wire::Channel&, const agent::Request&)> on_channel;
  // What the next calls of this name answer, instead of OK.
  void fail(const std::string& call, Error error) {
    std::lock_guard lock(mutex_);
    failures_.emplace_back(call, std::move(error));
  }

  static void echo(FakeSession& session) {
    wire::Frame frame;
    while (session.read(frame) && frame.kind != wire::FrameKind::kInput) {  // the only word: the end of stdin
      agent::Output taken;
      taken.set_stdin_taken(static_cast<uint32_t>(frame.data.size()));
      session.say(taken);
      session.say(wire::FrameKind::kStdout, frame.data);
    }
    end(session, 0);
  }

  // Both ends of output and the exit.
  static void end(FakeSession& session, int code, int signal = 0) {
    agent::Output out;
    out.mutable_exited()->set_code(code);
    out.mutable_exited()->set_signal(signal);
    session.say(out);
    out.mutable_stdout_eof();
    session.say(out);
    out.mutable_stderr_eof();
    session.say(out);
  }

 private:
  std::unique_ptr<Error> note(const std::string& call, const std::string& about) {
    std::lock_guard lock(mutex_);
    calls_.push_back(about.empty() ? call : call + " " + about);
    for (const auto& [name, error] : failures_)
      if (name == call) return std::make_unique<Error>(error);
    return nullptr;
  }

  void hear() {
    std::map<uint32_t, std::shared_ptr<FakeSession>> sessions;
    std::map<uint32_t, std::shared_ptr<wire::Channel>> channels;
    while (std::optional<wire::Frame> frame = link_->read()) {
      const uint32_t id = frame->session;
      if (frame->kind == wire::FrameKind::kRequest)
        begin(*frame, sessions);
      else if (frame->kind == wire::FrameKind::kOpen)
        begin_channel(*frame, channels[id] = std::make_shared<wire::Channel>(*link_, id));
      else if (frame->kind == wire::FrameKind::kNotice)
        heed(*frame);
      else if (const auto session = sessions.find(id); session != sessions.end())
        session->second->hear(std::move(*frame));
      else if (const auto channel = channels.find(id); channel != channels.end())
        channel->second->hear(std::move(*frame));
    }
    for (auto& [id, session] : sessions) session->end();
    for (auto& [id, channel] : channels) channel->end(true);
  }

  void begin_channel(const wire::Frame& frame, std::shared_ptr<wire::Channel> channel) {
    agent::Request request;
    request.ParseFromString(frame.data);
    attached_.emplace_back([this, channel, request] {
      try {
        on_channel(*channel, request);
      } catch (const Error& e) {
        agent::Reply reply;
        reply.set_error_json(wire::encode_error(e));
        channel->reply(reply.SerializeAsString());
      }
      channel->close();
    });
  }

  void heed(const wire::Frame& frame) {
    agent::Request request;
    agent::Reply none;
    request.ParseFromString(frame.data);
    answer(request, none);
  }

  void begin(const wire::Frame& frame, std::map<uint32_t, std::shared_ptr<FakeSession>>& sessions) {
    agent::Request request;
    request.ParseFromString(frame.data);
    agent::Reply reply;
    if (const std::unique_ptr<Error> failure = answer(request, reply))
      reply.set_error_json(wire::encode_error(*failure));
    link_->write(frame.session, wire::FrameKind::kReply, reply.SerializeAsString());
    if (!reply.has_attached()) return;
    auto session = sessions[frame.session] = std::make_shared<FakeSession>(*link_, frame.session);
    attached_.emplace_back([this, session, id = frame.session] {
      on_attach(*session);
      link_->write(id, wire::FrameKind::kEnd, {});
    });
  }

  std::unique_ptr<Error> answer(const agent::Request& request, agent::Reply& reply) {
    using agent::Request;
    reply.mutable_done();
    switch (request.kind_case()) {
      case Request::kHello:
        reply.mutable_hello()->set_protocol_version(protocol_version);
        reply.mutable_hello()->set_kernel_release("6.1.0-fake");
        reply.mutable_hello()->set_agent_version("fake");
        return note("Hello", "");
      case Request::kMountShare:
        return note("MountShare", request.mount_share().tag());
      case Request::kConfigureNetwork:
        return note("ConfigureNetwork", "");
      case Request::kCreate:
        for (const std::string& warning : create_warnings) reply.mutable_attached()->add_warnings(warning);
        reply.mutable_attached();
        return note("create", request.create().container_id());
      case Request::kExec:
        reply.mutable_attached();
        return note("exec", request.exec().container_id() + "/" + request.exec().process_id());
      case Request::kStart:
        return note("StartContainer", request.start().container_id());
      case Request::kSignal:
        return note("SignalProcess", request.signal().container_id() + "/" + request.signal().process_id() +
                                         " " + std::to_string(request.signal().signal()) +
                                         (request.signal().all() ? " all" : ""));
      case Request::kRemove:
        return note("RemoveContainer", request.remove().container_id());
      case Request::kTakeTrace:
        reply.mutable_trace()->set_events_json(events_json);
        reply.mutable_trace()->set_began_ns(trace_clock_ns);
        reply.mutable_trace()->set_ended_ns(trace_clock_ns);
        return note("TakeTrace", "");
      case Request::kShutdown:
        return note("Shutdown", "");
      case Request::kPause:
        return note("PauseContainer", request.pause().container_id());
      case Request::kUpdate:
        reply.mutable_update()->add_warnings("a fake's warning");
        return note("UpdateContainer", request.update().container_id());
      case Request::kStats:
        reply.mutable_stats()->set_stats_json("{}");
        return note("StatsContainer", request.stats().container_id());
      case Request::kListContainers:
        reply.mutable_containers();
        return note("ListContainers", "");
      case Request::kListProcesses:
        reply.mutable_processes()->add_processes()->set_command("fake");
        return note("ListProcesses", request.list_processes().container_id());
      case Request::kNotifyChanges: {
        std::string about;
        for (const agent::FileChange& change : request.notify_changes().changes())
          about += change.volume() + ":" + change.path() + ":" + std::to_string(change.mask()) + ";";
        reply.mutable_changes()->set_watched(true);
        return note("NotifyChanges", about);
      }
      default:
        return note("something else", "");
    }
  }

  std::optional<wire::FrameLink> link_;
  std::thread hearing_;
  std::vector<std::thread> attached_;  // hearing_'s, until that has ended
  mutable std::mutex mutex_;
  std::vector<std::string> calls_;
  std::vector<std::pair<std::string, Error>> failures_;
};

}  // namespace husk::testing
