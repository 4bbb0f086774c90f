#include <signal.h>

#include <thread>

#include "agent/guest/stdio_session.h"
#include "agent/server/border.h"
#include "agent/server/service.h"
#include "spec/binary.h"

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
    case guest::Output::Kind::kAttached:  // has words of its own
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

// A process that was made, and what it is a part of.
struct Made {
  std::shared_ptr<guest::Container> container;
  std::shared_ptr<guest::Process> process;
  AttachOutput attached;  // what is said of it first
};

Made create(guest::Guest& guest, const agent::CreateContainerRequest& request) {
  trace::Span span("CreateContainer");
  guest::ContainerOptions options;
  options.id = checked_id(request.container_id());
  options.bundle = request.bundle();
  options.config = spec::from_binary<spec::Config>(request.config());
  options.no_pivot = request.no_pivot();
  options.no_new_keyring = request.no_new_keyring();
  options.one_output = request.one_output();
  options.all_devices = request.all_devices();
  for (const agent::Device& device : request.devices())
    options.devices.push_back(
        {device.path(), device.name(), device.port().empty() ? "" : checked_port(device.port())});
  Made made;
  agent::Attached& attached = *made.attached.mutable_attached();
  for (std::string& warning : guest.create_container(std::move(options)))
    attached.add_warnings(std::move(warning));
  made.container = guest.container(request.container_id());
  made.process = made.container->process("");
  return made;
}

Made exec(guest::Guest& guest, const agent::ExecRequest& request) {
  trace::Span span("exec");
  Made made;
  made.attached.mutable_attached();
  made.container = guest.container(request.container_id());
  made.process = made.container->exec(
      checked_id(request.process_id()), spec::from_binary<spec::Process>(request.process()),
      {request.cgroup(), request.ignore_paused(), request.one_output(), window_of(request)});
  return made;
}

Made make(guest::Guest& guest, const AttachInput& first) {
  switch (first.kind_case()) {
    case AttachInput::kCreate:
      return create(guest, first.create());
    case AttachInput::kExec:
      return exec(guest, first.exec());
    default:
      throw Error(ErrorKind::kInvalid, "attach: the first message does not say what to make");
  }
}

}  // namespace

grpc::Status AgentService::Attach(grpc::ServerContext*, Stream* stream) {
  return at_border([&] {
    AttachInput first;
    if (!stream->Read(&first)) return;
    Made made = make(guest_, first);
    first.Clear();  // a config may be large, and a process live long
    guest::StdioSession session(made.process, kLimits);
    std::thread input([&] { read_input(*stream, session); });
    bool told = false;
    session.run(
        [&](guest::Output output) {
          if (output.kind == guest::Output::Kind::kAttached) return stream->Write(made.attached);
          told |= output.kind == guest::Output::Kind::kExited;
          return stream->Write(encode(std::move(output)));
        },
        [&](ExitStatus status) { return made.container->finish(*made.process, status); });
    if (told) made.container->collected(made.process->id());
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
