#include "agent/server/process_session.h"

#include "agent/guest/log.h"
#include "agent/server/border.h"
#include "spec/binary.h"

namespace husk {
namespace {

using wire::FrameKind;

constexpr guest::StdioSession::Limits kLimits{wire::kMaxBulk, wire::kStdinWindow, wire::kOutputWindow,
                                              wire::kMaxRest};

// A process that was made, and what it is a part of.
struct Made {
  std::shared_ptr<guest::Container> container;
  std::shared_ptr<guest::Process> process;
  agent::Reply reply;  // what is said of it first
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
  agent::Attached& attached = *made.reply.mutable_attached();
  for (std::string& warning : guest.create_container(std::move(options)))
    attached.add_warnings(std::move(warning));
  made.container = guest.container(request.container_id());
  made.process = made.container->process("");
  return made;
}

Made exec(guest::Guest& guest, const agent::ExecRequest& request) {
  trace::Span span("exec");
  Made made;
  made.reply.mutable_attached();
  made.container = guest.container(request.container_id());
  made.process = made.container->exec(
      checked_id(request.process_id()), spec::from_binary<spec::Process>(request.process()),
      {request.cgroup(), request.ignore_paused(), request.one_output(), window_of(request)});
  return made;
}

Made make(guest::Guest& guest, const agent::Request& request) {
  return request.has_create() ? create(guest, request.create()) : exec(guest, request.exec());
}

// Of what came too late nobody knows.
void unmake(guest::Guest& guest, const Made& made) {
  if (made.process->id().empty()) return guest.remove_container(made.container->id());
  made.process->kill();
  made.container->collected(made.process->id());
}

void fill(agent::Exited& out, const guest::Exit& exit) {
  out.set_code(exit.status.code);
  out.set_signal(exit.status.signal);
  out.set_oom_killed(exit.oom_killed);
}

}  // namespace

void ProcessSession::run(guest::Guest& guest, agent::Request request) {
  Made made = make(guest, request);
  if (given_up()) return unmake(guest, made);
  request.Clear();
  guest::StdioSession stdio(made.process, kLimits);
  const Attendance attendance(*this, stdio);
  bool told = false;
  stdio.run(
      [&](guest::Output output) {
        if (output.kind == guest::Output::Kind::kAttached)
          return link_.write(session_, FrameKind::kReply, made.reply.SerializeAsString());
        told |= output.kind == guest::Output::Kind::kExited;
        return output.pipe >= 0 ? splice(stdio, output) : say(std::move(output));
      },
      [&](ExitStatus status) { return made.container->finish(*made.process, status); });
  if (told) made.container->collected(made.process->id());
}

bool ProcessSession::given_up() {
  std::lock_guard lock(mutex_);
  return ended_;
}

void ProcessSession::attend(guest::StdioSession* stdio) {
  std::lock_guard lock(mutex_);
  stdio_ = stdio;
  if (stdio_ && ended_) stdio_->detach();
}

// A stream of which something is lost is at its end, as for a reader who finds an error in it.
bool ProcessSession::splice(guest::StdioSession& stdio, const guest::Output& output) {
  const bool is_stdout = output.kind == guest::Output::Kind::kStdout;
  const auto spliced = link_.splice(session_, is_stdout ? FrameKind::kStdout : FrameKind::kStderr,
                                    output.pipe, output.in_pipe);
  if (spliced == wire::FrameLink::Spliced::kLost) {
    guest::log_warning(std::string(is_stdout ? "stdout" : "stderr") +
                       ": what was written cannot be read any more");
    is_stdout ? stdio.close_stdout() : stdio.close_stderr();
  }
  return spliced != wire::FrameLink::Spliced::kGone;
}

bool ProcessSession::say(guest::Output output) {
  agent::Output message;
  switch (output.kind) {
    case guest::Output::Kind::kAttached:  // has words of its own
      return true;
    case guest::Output::Kind::kStdout:
      return link_.write(session_, FrameKind::kStdout, output.data);
    case guest::Output::Kind::kStderr:
      return link_.write(session_, FrameKind::kStderr, output.data);
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
  return link_.write(session_, FrameKind::kOutput, message.SerializeAsString());
}

// The host says nothing but its end before it has heard "attached".
void ProcessSession::hear(wire::Frame frame) {
  std::lock_guard lock(mutex_);
  ended_ |= frame.kind == FrameKind::kEnd;
  if (!stdio_) return;
  try {
    if (ended_) return stdio_->detach();
    obey(*stdio_, frame);
  } catch (const std::exception&) {
    ended_ = true;  // who breaks the protocol is not listened to any more
    stdio_->detach();
  }
}

void ProcessSession::obey(guest::StdioSession& stdio, wire::Frame& frame) {
  if (frame.kind == FrameKind::kStdin) return stdio.write_stdin(std::move(frame.data));
  agent::Input input;
  if (frame.kind != FrameKind::kInput || !input.ParseFromString(frame.data))
    throw Error(ErrorKind::kInvalid, "no input");
  switch (input.kind_case()) {
    case agent::Input::kStdinEof:
      return stdio.close_stdin();
    case agent::Input::kWindow:
      return stdio.resize({input.window().rows(), input.window().columns()});
    case agent::Input::kStdoutClosed:
      return stdio.close_stdout();
    case agent::Input::kStderrClosed:
      return stdio.close_stderr();
    case agent::Input::kStdoutTaken:
      return stdio.stdout_taken(input.stdout_taken());
    case agent::Input::kStderrTaken:
      return stdio.stderr_taken(input.stderr_taken());
    default:
      return;  // from a newer host
  }
}

}  // namespace husk
