#include "agent/server/requests.h"

#include <signal.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "agent/guest/boot.h"
#include "agent/guest/clock.h"
#include "agent/guest/log.h"
#include "agent/server/border.h"
#include "libcontainer/base/message.h"
#include "libcontainer/linux/process_list.h"
#include "spec/binary.h"

#ifndef HUSK_VERSION
#define HUSK_VERSION "unknown"
#endif

namespace husk {
namespace {

using agent::Reply;
using agent::Request;

constexpr size_t kMaxEntropy = 4096;  // bytes
constexpr size_t kMaxHostname = 64;   // HOST_NAME_MAX
constexpr int kMaxInterfaces = 64;

// For a test that runs the agent on a host: its clock and name are not ours.
bool owns_machine() {
  return getpid() == 1;
}

// From here on spans are kept. The clock has just been set.
void begin_trace(int64_t hello_ns) {
  trace::to_memory("husk-agent");
  // A VM from a template has booted long ago.
  if (!owns_machine() || guest::is_template()) return;
  const int64_t kernel = trace::now() - guest::uptime_ns(), agent = kernel + guest::boot_began_ns();
  trace::add_span("kernel", kernel, agent);
  trace::add_span("boot", agent, hello_ns);
}

void hello(const agent::HelloRequest& request, agent::HelloReply& reply) {
  if (request.protocol_version() != wire::kProtocolVersion)
    throw Error(ErrorKind::kUnsupported,
                "this guest speaks protocol " + std::to_string(wire::kProtocolVersion) + ", the host " +
                    std::to_string(request.protocol_version()) + ": rebuild the guest image");
  if (request.entropy().size() > kMaxEntropy) throw Error(ErrorKind::kInvalid, "too much entropy");
  if (request.hostname().size() > kMaxHostname) throw Error(ErrorKind::kInvalid, "the hostname is too long");
  if (!request.log_level().empty()) guest::set_log_level(request.log_level());
  if (owns_machine()) {
    if (request.realtime_ns() > 0) guest::set_clock(request.realtime_ns());
    guest::add_entropy(request.entropy());
    const std::string& name = request.hostname();
    if (!name.empty()) check(sethostname(name.data(), name.size()), "sethostname");
  }
  const int64_t begin = trace::now();
  if (request.trace()) begin_trace(begin);
  utsname kernel;
  check(uname(&kernel), "uname");
  reply.set_protocol_version(wire::kProtocolVersion);
  reply.set_kernel_release(kernel.release);
  reply.set_agent_version(HUSK_VERSION);
  if (request.trace()) trace::add_span("Hello", begin, trace::now());
}

void mount_share(guest::Guest& guest, const agent::MountShareRequest& request) {
  if (owns_machine() && request.realtime_ns() > 0) {
    const int64_t before = trace::now();
    guest::set_clock(request.realtime_ns());
    trace::shift(trace::now() - before);
  }
  trace::Span span("MountShare");
  guest.mount_share(checked_id(request.tag()), request.plugged_late());
}

void configure_network(guest::Guest& guest, const agent::ConfigureNetworkRequest& request) {
  trace::Span span("ConfigureNetwork");
  if (request.cards_size() > kMaxInterfaces)
    throw Error(ErrorKind::kInvalid, "more than " + std::to_string(kMaxInterfaces) + " network cards");
  std::vector<guest::Card> cards;
  for (const agent::Card& item : request.cards()) {
    guest::Card& card = cards.emplace_back();
    card.port = checked_port(item.port());
    card.interface = interface_from_bytes(item.interface());
    if (!item.before().empty()) card.before = interface_from_bytes(item.before());
  }
  guest.configure_network(request.network(), cards);
}

void start(guest::Guest& guest, const agent::StartContainerRequest& request) {
  trace::Span span("StartContainer");
  guest.container(request.container_id())->start(window_of(request));
}

void signal_process(guest::Guest& guest, const agent::SignalProcessRequest& request) {
  if (request.signal() < 0 || request.signal() >= NSIG)
    throw Error(ErrorKind::kInvalid, "no such signal: " + std::to_string(request.signal()));
  guest.container(request.container_id())->signal(request.process_id(), request.signal(), request.all());
}

void update(guest::Guest& guest, const agent::UpdateContainerRequest& request,
            agent::UpdateContainerReply& reply) {
  auto container = guest.container(request.container_id());
  for (std::string& warning : container->update(spec::from_binary<spec::Resources>(request.resources())))
    reply.add_warnings(std::move(warning));
}

void list_containers(guest::Guest& guest, agent::ListContainersReply& reply) {
  for (const auto& container : guest.containers()) {
    agent::ContainerInfo* info = reply.add_containers();
    info->set_container_id(container->id());
    info->set_status(status_name(container->status()));
    info->set_pid(container->pid());
  }
}

void list_processes(const guest::Container& container, agent::ListProcessesReply& reply) {
  for (ProcessInfo& info : describe_processes(container.pids())) {
    agent::ProcessInfo* out = reply.add_processes();
    out->set_pid(info.pid);
    out->set_ppid(info.ppid);
    out->set_uid(info.uid);
    out->set_start_seconds(info.start_seconds);
    out->set_cpu_milliseconds(info.cpu_milliseconds);
    out->set_tty(std::move(info.tty));
    out->set_command(std::move(info.command));
    out->set_state(std::move(info.state));
    out->set_virtual_kib(info.virtual_kib);
    out->set_resident_kib(info.resident_kib);
  }
}

void notify_changes(guest::Guest& guest, const agent::NotifyChangesRequest& request,
                    agent::NotifyChangesReply& reply) {
  if (request.changes_size() > wire::kMaxChanges)
    throw Error(ErrorKind::kInvalid, "more than " + std::to_string(wire::kMaxChanges) + " changes");
  bool watched = false;
  for (const agent::FileChange& change : request.changes())
    watched |= guest.notify_change(change.volume(), change.path(), change.mask());
  reply.set_watched(watched);
}

void take_trace(agent::TakeTraceReply& reply) {
  reply.set_began_ns(trace::now());
  reply.set_events_json(trace::events_to_json(trace::take()).dump());
  reply.set_ended_ns(trace::now());
}

void carry_out(guest::Guest& guest, const Request& request, Reply& reply) {
  switch (request.kind_case()) {
    case Request::kHello:
      return hello(request.hello(), *reply.mutable_hello());
    case Request::kMountShare:
      return mount_share(guest, request.mount_share());
    case Request::kConfigureNetwork:
      return configure_network(guest, request.configure_network());
    case Request::kStart:
      return start(guest, request.start());
    case Request::kFollowClock:
      if (owns_machine()) guest::follow_clock(request.follow_clock().realtime_ns());
      return;
    case Request::kSignal:
      return signal_process(guest, request.signal());
    case Request::kRemove:
      return guest.remove_container(request.remove().container_id());
    case Request::kTakeTrace:
      return take_trace(*reply.mutable_trace());
    case Request::kShutdown:
      return guest.shutdown();
    case Request::kUnplug:
      return guest.unplug(checked_port(request.unplug().port()));
    case Request::kPause:
      return guest.container(request.pause().container_id())->pause();
    case Request::kResume:
      return guest.container(request.resume().container_id())->resume();
    case Request::kUpdate:
      return update(guest, request.update(), *reply.mutable_update());
    case Request::kStats:
      return reply.mutable_stats()->set_stats_json(
          guest.container(request.stats().container_id())->stats().dump());
    case Request::kListContainers:
      return list_containers(guest, *reply.mutable_containers());
    case Request::kListProcesses:
      return list_processes(*guest.container(request.list_processes().container_id()),
                            *reply.mutable_processes());
    case Request::kNotifyChanges:
      return notify_changes(guest, request.notify_changes(), *reply.mutable_changes());
    default:
      throw Error(ErrorKind::kUnsupported, "the guest does not know this request");
  }
}

}  // namespace

Reply error_reply(const Error& error) {
  Reply reply;
  reply.set_error_json(wire::encode_error(error));
  return reply;
}

Reply answer(guest::Guest& guest, const Request& request) {
  try {
    Reply reply;
    carry_out(guest, request, reply);
    if (reply.kind_case() == Reply::KIND_NOT_SET) reply.mutable_done();
    return reply;
  } catch (const Error& e) {
    return error_reply(e);
  } catch (const std::exception& e) {
    return error_reply(Error(ErrorKind::kInternal, e.what()));
  }
}

}  // namespace husk
