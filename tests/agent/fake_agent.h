// A fake guest for tests: a real gRPC server with agent.proto's service on one end of a socketpair. Override
// what a test needs; the rest answers politely.
#pragma once

#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "agent.grpc.pb.h"
#include "agent/wire/wire.h"
#include "libcontainer/base/fd.h"

namespace husk::testing {

class FakeAgent : public agent::Agent::Service {
 public:
  using AttachServer = grpc::ServerReaderWriter<agent::AttachOutput, agent::AttachInput>;

  FakeAgent() = default;
  // A test whose fake has state of its own calls stop() in its own destructor: handlers may still run.
  ~FakeAgent() override { stop(); }

  // Starts serving; returns the client's end. Also usable a second time after stop().
  UniqueFd start() {
    auto [host, guest] = socket_pair(SOCK_STREAM);
    grpc::ServerBuilder builder;
    wire::configure(builder);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
    guest_end_ = dup_fd(guest.get());
    wire::serve_fd(*server_, std::move(guest));
    return std::move(host);
  }

  // The guest dies: the connection ends in the middle of whatever goes on.
  void die() { shutdown(guest_end_.get(), SHUT_RDWR); }

  void stop() {
    if (!server_) return;
    die();
    server_->Shutdown(std::chrono::system_clock::now());
    server_->Wait();
    server_.reset();
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
  // Goes on after every Attach's "attached"; set before the first call. The default echoes stdin until its
  // end, and exits with 0.
  std::function<grpc::Status(AttachServer&)> on_attach = [](AttachServer& stream) { return echo(stream); };
  // What the next calls of this name answer, instead of OK.
  void fail(const std::string& call, Error error) {
    std::lock_guard lock(mutex_);
    failures_.emplace_back(call, std::move(error));
  }

  static grpc::Status echo(AttachServer& stream) {
    agent::AttachInput in;
    agent::AttachOutput out;
    while (stream.Read(&in)) {
      if (in.has_stdin_eof()) break;
      if (in.kind_case() != agent::AttachInput::kStdin) continue;
      out.set_stdin_taken(static_cast<uint32_t>(in.stdin().size()));
      stream.Write(out);
      out.set_stdout(in.stdin());
      stream.Write(out);
    }
    return end(stream, 0);
  }

  // Both ends of output and the exit; waits for the host's half-close as the real one does.
  static grpc::Status end(AttachServer& stream, int code, int signal = 0) {
    agent::AttachOutput out;
    out.mutable_exited()->set_code(code);
    out.mutable_exited()->set_signal(signal);
    stream.Write(out);
    out.mutable_stdout_eof();
    stream.Write(out);
    out.mutable_stderr_eof();
    stream.Write(out);
    agent::AttachInput in;
    while (stream.Read(&in)) {
    }
    return grpc::Status::OK;
  }

  grpc::Status Hello(grpc::ServerContext*, const agent::HelloRequest*, agent::HelloReply* reply) override {
    reply->set_protocol_version(protocol_version);
    reply->set_kernel_release("6.1.0-fake");
    reply->set_agent_version("fake");
    return called("Hello");
  }
  grpc::Status MountShare(grpc::ServerContext*, const agent::MountShareRequest* request,
                          agent::Empty*) override {
    return called("MountShare", request->tag());
  }
  grpc::Status ConfigureNetwork(grpc::ServerContext*, const agent::ConfigureNetworkRequest*,
                                agent::Empty*) override {
    return called("ConfigureNetwork");
  }
  grpc::Status StartContainer(grpc::ServerContext*, const agent::StartContainerRequest* request,
                              agent::Empty*) override {
    return called("StartContainer", request->container_id());
  }
  grpc::Status Attach(grpc::ServerContext*, AttachServer* stream) override {
    agent::AttachInput first;
    if (!stream->Read(&first)) return grpc::Status::OK;
    grpc::Status status = first.has_exec()
                              ? called("exec", first.exec().container_id() + "/" + first.exec().process_id())
                              : called("create", first.create().container_id());
    if (!status.ok()) return status;
    agent::AttachOutput out;
    for (const std::string& warning : create_warnings) out.mutable_attached()->add_warnings(warning);
    out.mutable_attached();
    stream->Write(out);
    return on_attach(*stream);
  }
  grpc::Status SignalProcess(grpc::ServerContext*, const agent::SignalProcessRequest* request,
                             agent::Empty*) override {
    return called("SignalProcess", request->container_id() + "/" + request->process_id() + " " +
                                       std::to_string(request->signal()) + (request->all() ? " all" : ""));
  }
  grpc::Status PauseContainer(grpc::ServerContext*, const agent::ContainerRef* request,
                              agent::Empty*) override {
    return called("PauseContainer", request->container_id());
  }
  grpc::Status ResumeContainer(grpc::ServerContext*, const agent::ContainerRef* request,
                               agent::Empty*) override {
    return called("ResumeContainer", request->container_id());
  }
  grpc::Status UpdateContainer(grpc::ServerContext*, const agent::UpdateContainerRequest* request,
                               agent::UpdateContainerReply* reply) override {
    reply->add_warnings("a fake's warning");
    return called("UpdateContainer", request->container_id());
  }
  grpc::Status StatsContainer(grpc::ServerContext*, const agent::ContainerRef* request,
                              agent::StatsContainerReply* reply) override {
    reply->set_stats_json("{}");
    return called("StatsContainer", request->container_id());
  }
  grpc::Status ListContainers(grpc::ServerContext*, const agent::Empty*,
                              agent::ListContainersReply*) override {
    return called("ListContainers");
  }
  grpc::Status ListProcesses(grpc::ServerContext*, const agent::ListProcessesRequest* request,
                             agent::ListProcessesReply* reply) override {
    agent::ProcessInfo* info = reply->add_processes();
    info->set_pid(1);
    info->set_command("fake");
    return called("ListProcesses", request->container_id());
  }
  grpc::Status RemoveContainer(grpc::ServerContext*, const agent::ContainerRef* request,
                               agent::Empty*) override {
    return called("RemoveContainer", request->container_id());
  }
  grpc::Status TakeTrace(grpc::ServerContext*, const agent::Empty*, agent::TakeTraceReply* reply) override {
    reply->set_events_json(events_json);
    reply->set_began_ns(trace_clock_ns);
    reply->set_ended_ns(trace_clock_ns);
    return called("TakeTrace");
  }
  grpc::Status NotifyChanges(grpc::ServerContext*, const agent::NotifyChangesRequest* request,
                             agent::NotifyChangesReply* reply) override {
    std::string about;
    for (const agent::FileChange& change : request->changes())
      about += change.volume() + ":" + change.path() + ":" + std::to_string(change.mask()) + ";";
    reply->set_watched(true);
    return called("NotifyChanges", about);
  }
  grpc::Status Shutdown(grpc::ServerContext*, const agent::Empty*, agent::Empty*) override {
    return called("Shutdown");
  }

 protected:
  grpc::Status called(const std::string& call, const std::string& about = "") {
    std::lock_guard lock(mutex_);
    calls_.push_back(about.empty() ? call : call + " " + about);
    for (const auto& [name, error] : failures_)
      if (name == call) return wire::to_status(error);
    return grpc::Status::OK;
  }

 private:
  std::unique_ptr<grpc::Server> server_;
  UniqueFd guest_end_;
  mutable std::mutex mutex_;
  std::vector<std::string> calls_;
  std::vector<std::pair<std::string, Error>> failures_;
};

}  // namespace husk::testing
