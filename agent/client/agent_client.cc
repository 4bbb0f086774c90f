#include "agent/client/agent_client.h"

#include <sys/random.h>

#include <chrono>

#include "agent.pb.h"
#include "agent/client/frame_client.h"
#include "agent/wire/wire.h"
#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/message.h"
#include "spec/binary.h"

namespace husk {
namespace {

using nlohmann::json;

constexpr size_t kEntropy = 64;                          // bytes that the guest's pool gets
constexpr int kMaxListed = 65536;                        // processes, containers: the guest is not trusted
constexpr size_t kMaxWarnings = 64, kMaxWarning = 1024;  // all of them go in one message to husk
constexpr size_t kMaxText = 64u << 10;                   // of one string from the guest

std::string text(const std::string& from_guest) {
  return printable(from_guest, kMaxText);
}

void check_count(int count) {
  if (count > kMaxListed) throw Error(ErrorKind::kInvalid, "the guest's list is too long");
}

template <typename Reply>
std::vector<std::string> warnings_of(const Reply& reply) {
  std::vector<std::string> warnings;
  for (const std::string& warning : reply.warnings()) {
    if (warnings.size() == kMaxWarnings) break;
    warnings.push_back(printable(warning, kMaxWarning));
  }
  return warnings;
}

void fill(agent::Window& out, const WindowSize& size) {
  out.set_rows(size.rows);
  out.set_columns(size.columns);
}

// From the guest's clock to the host's. Between sending and receiving lie two moments of the guest's; that
// both ways took the same time is a guess.
int64_t clock_offset(int64_t sent_ns, const agent::TakeTraceReply& reply, int64_t received_ns) {
  const auto plausible = [](int64_t ns) { return ns > 0 && ns < INT64_MAX / 4; };
  if (!plausible(reply.began_ns()) || !plausible(reply.ended_ns())) return 0;
  return (sent_ns - reply.began_ns() + received_ns - reply.ended_ns()) / 2;
}

}  // namespace

struct AgentClient::Impl {
  explicit Impl(UniqueFd socket) : frames(std::move(socket)) {}

  FrameClient frames;

  agent::Reply call(const agent::Request& request, const std::string& what = "",
                    std::chrono::milliseconds timeout = deadline::kAgentCall) {
    return frames.call(request, what, timeout);
  }
};

AgentClient::AgentClient(UniqueFd socket) : impl_(std::make_unique<Impl>(std::move(socket))) {}

AgentClient::~AgentClient() = default;

AgentClient::Hello AgentClient::hello(const std::string& hostname, const std::string& log_level) {
  std::string entropy(kEntropy, '\0');
  check(getrandom(entropy.data(), entropy.size(), 0), "getrandom");
  agent::Request asked;
  agent::HelloRequest& request = *asked.mutable_hello();
  request.set_protocol_version(wire::kProtocolVersion);
  request.set_entropy(entropy);
  request.set_realtime_ns(trace::now());
  request.set_hostname(hostname);
  request.set_log_level(log_level);
  request.set_trace(trace::on());
  const agent::HelloReply reply = impl_->call(asked, "guest agent", deadline::kGuestBoot).hello();
  if (reply.protocol_version() != wire::kProtocolVersion)
    throw Error(ErrorKind::kUnsupported,
                "the guest agent speaks protocol " + std::to_string(reply.protocol_version()) +
                    ", this husk " + std::to_string(wire::kProtocolVersion) + ": rebuild the guest image");
  return {text(reply.kernel_release()), text(reply.agent_version())};
}

void AgentClient::mount_share(const std::string& tag, bool plugged_late) {
  agent::Request request;
  request.mutable_mount_share()->set_tag(tag);
  request.mutable_mount_share()->set_plugged_late(plugged_late);
  request.mutable_mount_share()->set_realtime_ns(trace::now());
  impl_->call(request, "guest: mounting share " + tag);
}

void AgentClient::follow_clock() {
  agent::Request notice;
  notice.mutable_follow_clock()->set_realtime_ns(trace::now());
  impl_->frames.tell(notice);
}

void AgentClient::configure_network(const std::string& network, const std::vector<Card>& cards) {
  agent::Request asked;
  agent::ConfigureNetworkRequest& request = *asked.mutable_configure_network();
  request.set_network(network);
  for (const Card& card : cards) {
    agent::Card* out = request.add_cards();
    out->set_port(card.port);
    out->set_interface(interface_to_bytes(card.interface));
    if (card.before) out->set_before(interface_to_bytes(*card.before));
  }
  impl_->call(asked, "guest: configuring the network");
}

void AgentClient::unplug(const std::string& port) {
  agent::Request request;
  request.mutable_unplug()->set_port(port);
  impl_->call(request, "guest: letting go of what is in port " + port);
}

AgentClient::Created AgentClient::create_container(const std::string& id, const spec::Config& config,
                                                   const CreateOptions& options) {
  agent::Request asked;
  agent::CreateContainerRequest& request = *asked.mutable_create();
  request.set_container_id(id);
  request.set_config(spec::to_binary(config));
  request.set_bundle(options.bundle);
  request.set_no_pivot(options.no_pivot);
  request.set_no_new_keyring(options.no_new_keyring);
  request.set_one_output(options.one_output);
  request.set_all_devices(options.all_devices);
  for (const Device& device : options.devices) {
    agent::Device* out = request.add_devices();
    out->set_path(device.path);
    out->set_name(device.name);
    out->set_port(device.port);
  }
  agent::Attached attached;
  std::unique_ptr<AttachStream> stream = impl_->frames.attach(asked, attached);
  return {std::move(stream), warnings_of(attached)};
}

void AgentClient::start_container(const std::string& id, const std::optional<WindowSize>& size,
                                  std::chrono::seconds hooks) {
  agent::Request asked;
  agent::StartContainerRequest& request = *asked.mutable_start();
  request.set_container_id(id);
  if (size) fill(*request.mutable_window(), *size);
  impl_->call(asked, "", deadline::kAgentCreate + hooks);
}

std::unique_ptr<AttachStream> AgentClient::exec(const std::string& id, const std::string& process_id,
                                                const spec::Process& process, const ExecOptions& options) {
  agent::Request asked;
  agent::ExecRequest& request = *asked.mutable_exec();
  request.set_container_id(id);
  request.set_process_id(process_id);
  request.set_process(spec::to_binary(process));
  request.set_cgroup(options.cgroup);
  request.set_ignore_paused(options.ignore_paused);
  request.set_one_output(options.one_output);
  if (options.size) fill(*request.mutable_window(), *options.size);
  agent::Attached attached;
  return impl_->frames.attach(asked, attached);
}

void AgentClient::signal_process(const std::string& id, const std::string& process_id, int signal) {
  agent::Request notice;
  agent::SignalProcessRequest& request = *notice.mutable_signal();
  request.set_container_id(id);
  request.set_process_id(process_id);
  request.set_signal(signal);
  impl_->frames.tell(notice);
}

void AgentClient::signal_all(const std::string& id, int signal) {
  agent::Request asked;
  agent::SignalProcessRequest& request = *asked.mutable_signal();
  request.set_container_id(id);
  request.set_signal(signal);
  request.set_all(true);
  impl_->call(asked);
}

void AgentClient::pause(const std::string& id) {
  agent::Request request;
  request.mutable_pause()->set_container_id(id);
  impl_->call(request);
}

void AgentClient::resume(const std::string& id) {
  agent::Request request;
  request.mutable_resume()->set_container_id(id);
  impl_->call(request);
}

std::vector<std::string> AgentClient::update(const std::string& id, const spec::Resources& resources) {
  agent::Request request;
  request.mutable_update()->set_container_id(id);
  request.mutable_update()->set_resources(spec::to_binary(resources));
  return warnings_of(impl_->call(request).update());
}

nlohmann::json AgentClient::stats(const std::string& id) {
  agent::Request request;
  request.mutable_stats()->set_container_id(id);
  json stats = parse_untrusted(impl_->call(request).stats().stats_json());
  if (!stats.is_object()) throw Error(ErrorKind::kInvalid, "the guest's stats are not a JSON object");
  return stats;
}

std::vector<GuestProcess> AgentClient::processes(const std::string& id) {
  agent::Request request;
  request.mutable_list_processes()->set_container_id(id);
  const agent::Reply answer = impl_->call(request);
  const agent::ListProcessesReply& reply = answer.processes();
  check_count(reply.processes_size());
  std::vector<GuestProcess> out;
  for (const agent::ProcessInfo& info : reply.processes()) {
    GuestProcess process;
    process.pid = info.pid();
    process.ppid = info.ppid();
    process.uid = info.uid();
    process.start_seconds = info.start_seconds();
    process.cpu_milliseconds = info.cpu_milliseconds();
    process.tty = text(info.tty());
    process.command = text(info.command());
    process.state = text(info.state());
    process.virtual_kib = info.virtual_kib();
    process.resident_kib = info.resident_kib();
    out.push_back(std::move(process));
  }
  return out;
}

std::vector<GuestContainer> AgentClient::containers() {
  agent::Request request;
  request.mutable_list_containers();
  const agent::Reply answer = impl_->call(request);
  const agent::ListContainersReply& reply = answer.containers();
  check_count(reply.containers_size());
  std::vector<GuestContainer> out;
  for (const agent::ContainerInfo& info : reply.containers())
    out.push_back({text(info.container_id()), text(info.status()), info.pid()});
  return out;
}

void AgentClient::remove_container(const std::string& id) {
  agent::Request request;
  request.mutable_remove()->set_container_id(id);
  impl_->call(request);
}

std::vector<trace::Event> AgentClient::take_trace() {
  const int64_t sent = trace::now();
  agent::Request request;
  request.mutable_take_trace();
  const agent::Reply answer = impl_->call(request, "guest: trace");
  const agent::TakeTraceReply& reply = answer.trace();
  const int64_t offset = clock_offset(sent, reply, trace::now());
  std::vector<trace::Event> events = trace::events_from_json(parse_untrusted(reply.events_json()));
  for (trace::Event& event : events) {
    event.begin_ns += offset;
    event.end_ns += offset;
  }
  return events;
}

void AgentClient::shutdown() {
  agent::Request request;
  request.mutable_shutdown();
  impl_->call(request, "guest: shutting down", deadline::kGuestShutdown);
}

std::unique_ptr<ListenStream> AgentClient::listen(const GuestSocket& socket) {
  agent::Request request;
  agent::SocketFile& file = *request.mutable_listen()->mutable_file();
  file.set_container_id(socket.container);
  file.set_index(socket.index);
  file.set_mode(socket.mode);
  file.set_uid(socket.uid);
  file.set_gid(socket.gid);
  return impl_->frames.listen(request);
}

std::unique_ptr<ListenStream> AgentClient::listen(const GuestPort& port) {
  agent::Request request;
  agent::LoopbackPort& out = *request.mutable_listen()->mutable_port();
  out.set_network(port.network);
  out.set_address(port.address);
  out.set_port(port.port);
  out.set_datagrams(port.datagrams);
  return impl_->frames.listen(request);
}

std::unique_ptr<CarryStream> AgentClient::carry(uint64_t connection) {
  agent::Request request;
  request.mutable_carry()->set_connection(connection);
  return impl_->frames.carry(request);
}

void AgentClient::refuse(uint64_t connection) {
  agent::Request request;
  request.mutable_carry()->set_connection(connection);
  impl_->frames.refuse(request);
}

bool AgentClient::notify_changes(const std::vector<FileChange>& changes) {
  agent::Request asked;
  agent::NotifyChangesRequest& request = *asked.mutable_notify_changes();
  for (const FileChange& change : changes) {
    agent::FileChange* out = request.add_changes();
    out->set_volume(change.volume);
    out->set_path(change.path);
    out->set_mask(change.mask);
  }
  return impl_->call(asked, "guest: telling of changed files").changes().watched();
}

}  // namespace husk
