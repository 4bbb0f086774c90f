#include <signal.h>

#include <thread>

#include "agent/guest/stdio_session.h"
#include "agent/server/border.h"
#include "agent/server/service.h"
#include "spec/codec.h"

namespace husk {
namespace {

using agent::AttachInput;
using agent::AttachOutput;
using Stream = grpc::ServerReaderWriter<AttachOutput, AttachInput>;

constexpr guest::StdioSession::Limits kLimits{wire::kMaxChunk, wire::kStdinWindow, wire::kOutputWindow,
                                              wire::kMaxRest};

void fill(agent::Exited& out, const guest::Exit& exit) {
  out.set_code(exit.status.code);
  out.set_signal(exit.status.signal);
  out.set_oom_killed(exit.oom_killed);
}

AttachOutput encode(guest::Output output) {
  AttachOutput message;
  switch (output.kind) {
    case guest::Output::Kind::kAttached:
      message.mutable_attached();
      break;
    case guest::Output::Kind::kStdout:
      message.set_stdout(std::move(output.data));
      break;
    case guest::Output::Kind::kStderr:
      message.set_stderr(std::move(output.data));
      break;
    case guest::Output::Kind::kStdoutEof:
      message.mutable_stdout_eof();
      break;
    case guest::Output::Kind::kStderrEof:
      message.mutable_stderr_eof();
      break;
    case guest::Output::Kind::kExited:
      fill(*message.mutable_exited(), output.exit);
      break;
    case guest::Output::Kind::kStdinTaken:
      message.set_stdin_taken(static_cast<uint32_t>(output.taken));
      break;
    case guest::Output::Kind::kStdinClosed:
      message.mutable_stdin_closed();
      break;
  }
  return message;
}

void obey(guest::StdioSession& session, AttachInput& message) {
  switch (message.kind_case()) {
    case AttachInput::kStdin:
      if (message.stdin().size() > wire::kMaxChunk)
        throw Error(ErrorKind::kInvalid, "stdin: the chunk is too large");
      session.write_stdin(std::move(*message.mutable_stdin()));
      break;
    case AttachInput::kStdinEof:
      session.close_stdin();
      break;
    case AttachInput::kWindow:
      session.resize({message.window().rows(), message.window().columns()});
      break;
    case AttachInput::kStdoutClosed:
      session.close_stdout();
      break;
    case AttachInput::kStderrClosed:
      session.close_stderr();
      break;
    case AttachInput::kStdoutTaken:
      session.stdout_taken(message.stdout_taken());
      break;
    case AttachInput::kStderrTaken:
      session.stderr_taken(message.stderr_taken());
      break;
    default:
      break;  // from a newer host
  }
}

// The other thread of an Attach: ends when the host half-closes or is gone.
void read_input(Stream& stream, guest::StdioSession& session) {
  AttachInput message;
  while (stream.Read(&message)) {
    try {
      obey(session, message);
    } catch (const std::exception&) {
      break;  // who breaks the protocol is not listened to any more
    }
  }
  session.detach();
  while (stream.Read(&message)) {
  }
}

}  // namespace

grpc::Status AgentService::CreateProcess(grpc::ServerContext*, const agent::CreateProcessRequest* request,
                                         agent::Empty*) {
  return at_border("CreateProcess", [&] {
    auto container = guest_.container(request->container_id());
    container->create_process(checked_id(request->process_id()),
                              spec::decode_process(request->process_json()),
                              {request->cgroup(), request->ignore_paused(), request->one_output()});
  });
}

grpc::Status AgentService::StartProcess(grpc::ServerContext*, const agent::StartProcessRequest* request,
                                        agent::Empty*) {
  return at_border("StartProcess", [&] {
    std::optional<guest::WindowSize> size;
    if (request->has_window()) size = {request->window().rows(), request->window().columns()};
    guest_.container(request->container_id())->start(request->process_id(), size);
  });
}

grpc::Status AgentService::Attach(grpc::ServerContext*, Stream* stream) {
  return at_border([&] {
    AttachInput first;
    if (!stream->Read(&first)) return;
    if (first.kind_case() != AttachInput::kProcess)
      throw Error(ErrorKind::kInvalid, "attach: the first message does not name a process");
    auto container = guest_.container(first.process().container_id());
    auto process = container->process(checked_process_id(first.process().process_id()));
    guest::StdioSession session(process, kLimits);
    std::thread input([&] { read_input(*stream, session); });
    bool told = false;
    session.run(
        [&](guest::Output output) {
          told |= output.kind == guest::Output::Kind::kExited;
          return stream->Write(encode(std::move(output)));
        },
        [&](ExitStatus status) { return container->finish(*process, status); });
    if (told) container->collected(process->id());
    input.join();
  });
}

grpc::Status AgentService::SignalProcess(grpc::ServerContext*, const agent::SignalProcessRequest* request,
                                         agent::Empty*) {
  return at_border([&] {
    if (request->signal() < 0 || request->signal() >= NSIG)
      throw Error(ErrorKind::kInvalid, "no such signal: " + std::to_string(request->signal()));
    guest_.container(request->container_id())
        ->signal(request->process_id(), request->signal(), request->all());
  });
}

}  // namespace husk
