#include "vm/net/network.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <string_view>
#include <thread>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/netlink_socket.h"
#include "vm/net/tap.h"
#include "vm/net/traffic_control.h"

namespace husk::vm {
namespace {

// A thread that has entered a namespace is not used for anything else: it ends here, and its namespace with
// it.
void run_in_namespace(int netns_fd, const std::function<void()>& f) {
  std::exception_ptr failure;
  std::thread([&] {
    try {
      check(setns(netns_fd, CLONE_NEWNET), "enter the network namespace");
      f();
    } catch (...) {
      failure = std::current_exception();
    }
  }).join();
  if (failure) std::rethrow_exception(failure);
}

Endpoint splice_interface(NetlinkSocket& socket, const Interface& interface) {
  const int index = static_cast<int>(if_nametoindex(interface.name.c_str()));
  if (index == 0) throw_errno("find it");
  Tap tap = make_tap(socket, interface.mtu);
  add_ingress(socket, tap.index, tap.name);
  // The tap's direction first: nothing comes from it yet, so that the interface is cut off only when all else
  // is there.
  redirect_ingress(socket, tap.index, index);
  add_ingress(socket, index, interface.name);
  try {
    redirect_ingress(socket, index, tap.index);
  } catch (...) {
    remove_ingress(socket, index);
    throw;
  }
  return {interface, std::move(tap.name), std::move(tap.fd)};
}

void remove_from(NetlinkSocket& socket, const std::string& name) noexcept {
  try {
    const int index = static_cast<int>(if_nametoindex(name.c_str()));
    if (index == 0) return;
    if (const int errnum = remove_ingress(socket, index))
      spdlog::warn("removing the ingress qdisc of interface {}: {}", name, strerror(errnum));
  } catch (const std::exception& e) {
    spdlog::warn("removing the ingress qdisc of interface {}: {}", name, e.what());
  }
}

// A tap of husk's here is that of a living VM, since it ends with its fd.
bool has_tap() {
  std::unique_ptr<struct if_nameindex, decltype(&if_freenameindex)> all(if_nameindex(), if_freenameindex);
  for (auto* i = all.get(); i && i->if_index; ++i)
    if (std::string_view(i->if_name).starts_with("husk")) return true;
  return false;
}

}  // namespace

std::vector<Endpoint> splice_namespace(int netns_fd, const std::vector<std::string>& skip) {
  std::vector<Endpoint> endpoints;
  run_in_namespace(netns_fd, [&] {
    set_link_up("lo");  // the engine may look at it
    NetlinkSocket socket;
    try {
      const std::vector<Interface> interfaces = scan_interfaces();
      endpoints.reserve(interfaces.size());  // nothing may fail between a splice and its entry here
      for (const Interface& interface : interfaces) {
        if (std::ranges::find(skip, interface.name) != skip.end()) continue;
        endpoints.push_back(with_context("connecting interface " + interface.name + " to the VM",
                                         [&] { return splice_interface(socket, interface); }));
      }
    } catch (...) {
      // The taps end with their fds, which the caller never gets.
      for (const Endpoint& endpoint : endpoints) remove_from(socket, endpoint.interface.name);
      throw;
    }
  });
  return endpoints;
}

void unsplice(int netns_fd, const std::vector<std::string>& interfaces) noexcept {
  if (netns_fd < 0 || interfaces.empty()) return;
  try {
    run_in_namespace(netns_fd, [&] {
      NetlinkSocket socket;
      for (const std::string& name : interfaces) remove_from(socket, name);
    });
  } catch (const std::exception& e) {
    spdlog::warn("disconnecting the VM's network interfaces: {}", e.what());
  }
}

void unsplice_all(const std::string& netns_path) noexcept {
  try {
    UniqueFd netns = open_file(netns_path, O_RDONLY);
    run_in_namespace(netns.get(), [] {
      NetlinkSocket socket;
      if (has_tap()) return;
      for (const Interface& interface : scan_interfaces()) remove_from(socket, interface.name);
    });
  } catch (const std::exception& e) {
    spdlog::warn("disconnecting the interfaces in {}: {}", netns_path, e.what());
  }
}

}  // namespace husk::vm
