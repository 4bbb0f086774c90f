#include <sys/utsname.h>
#include <unistd.h>

#include "agent/guest/boot.h"
#include "agent/guest/clock.h"
#include "agent/guest/log.h"
#include "agent/guest/pci.h"
#include "agent/server/border.h"
#include "agent/server/service.h"
#include "libcontainer/base/message.h"

#ifndef HUSK_VERSION
#define HUSK_VERSION "unknown"
#endif

namespace husk {
namespace {

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

}  // namespace

grpc::Status AgentService::Hello(grpc::ServerContext*, const agent::HelloRequest* request,
                                 agent::HelloReply* reply) {
  return at_border([&] {
    if (request->protocol_version() != wire::kProtocolVersion)
      throw Error(ErrorKind::kUnsupported,
                  "this guest speaks protocol " + std::to_string(wire::kProtocolVersion) + ", the host " +
                      std::to_string(request->protocol_version()) + ": rebuild the guest image");
    if (request->entropy().size() > kMaxEntropy) throw Error(ErrorKind::kInvalid, "too much entropy");
    if (request->hostname().size() > kMaxHostname)
      throw Error(ErrorKind::kInvalid, "the hostname is too long");
    if (!request->log_level().empty()) guest::set_log_level(request->log_level());
    if (owns_machine()) {
      if (request->realtime_ns() > 0) guest::set_clock(request->realtime_ns());
      guest::add_entropy(request->entropy());
      const std::string& name = request->hostname();
      if (!name.empty()) check(sethostname(name.data(), name.size()), "sethostname");
    }
    const int64_t begin = trace::now();
    if (request->trace()) begin_trace(begin);
    utsname kernel;
    check(uname(&kernel), "uname");
    reply->set_protocol_version(wire::kProtocolVersion);
    reply->set_kernel_release(kernel.release);
    reply->set_agent_version(HUSK_VERSION);
    if (request->trace()) trace::add_span("Hello", begin, trace::now());
  });
}

grpc::Status AgentService::MountShare(grpc::ServerContext*, const agent::MountShareRequest* request,
                                      agent::Empty*) {
  return at_border("MountShare",
                   [&] { guest_.mount_share(checked_id(request->tag()), request->plugged_late()); });
}

grpc::Status AgentService::ConfigureNetwork(grpc::ServerContext*,
                                            const agent::ConfigureNetworkRequest* request, agent::Empty*) {
  return at_border("ConfigureNetwork", [&] {
    if (request->cards_size() > kMaxInterfaces)
      throw Error(ErrorKind::kInvalid, "more than " + std::to_string(kMaxInterfaces) + " network cards");
    std::vector<guest::Card> cards;
    for (const agent::Card& item : request->cards()) {
      guest::Card& card = cards.emplace_back();
      card.port = checked_port(item.port());
      card.interface = interface_from_bytes(item.interface());
      if (!item.before().empty()) card.before = interface_from_bytes(item.before());
    }
    guest_.configure_network(request->network(), cards);
  });
}

grpc::Status AgentService::Unplug(grpc::ServerContext*, const agent::UnplugRequest* request, agent::Empty*) {
  return at_border([&] { guest_.unplug(checked_port(request->port())); });
}

grpc::Status AgentService::ListContainers(grpc::ServerContext*, const agent::Empty*,
                                          agent::ListContainersReply* reply) {
  return at_border([&] {
    for (const auto& container : guest_.containers()) {
      agent::ContainerInfo* info = reply->add_containers();
      info->set_container_id(container->id());
      info->set_status(status_name(container->status()));
      info->set_pid(container->pid());
    }
  });
}

grpc::Status AgentService::TakeTrace(grpc::ServerContext*, const agent::Empty*,
                                     agent::TakeTraceReply* reply) {
  return at_border([&] {
    reply->set_began_ns(trace::now());
    reply->set_events_json(trace::events_to_json(trace::take()).dump());
    reply->set_ended_ns(trace::now());
  });
}

grpc::Status AgentService::NotifyChanges(grpc::ServerContext*, const agent::NotifyChangesRequest* request,
                                         agent::NotifyChangesReply* reply) {
  return at_border([&] {
    if (request->changes_size() > wire::kMaxChanges)
      throw Error(ErrorKind::kInvalid, "more than " + std::to_string(wire::kMaxChanges) + " changes");
    bool watched = false;
    for (const agent::FileChange& change : request->changes())
      watched |= guest_.notify_change(change.volume(), change.path(), change.mask());
    reply->set_watched(watched);
  });
}

grpc::Status AgentService::Shutdown(grpc::ServerContext*, const agent::Empty*, agent::Empty*) {
  return at_border([&] { guest_.shutdown(); });
}

}  // namespace husk
