// The splice without a VM: the test is at QEMU's end of the tap. Needs root, ip(8) and tc(8).
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <vector>

#include "libcontainer/base/error.h"
#include "tests/vm/net_world.h"
#include "vm/net/monitor.h"
#include "vm/net/network.h"
#include "vm/net/resolver.h"

namespace husk::vm {
namespace {

// The first frame of our type that comes within two seconds, without the `header` bytes before it.
std::string receive(int fd, size_t header) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  while (std::chrono::steady_clock::now() < end) {
    if (!wait_readable(fd, 200)) continue;
    char buffer[70000];
    const ssize_t n = read(fd, buffer, sizeof(buffer));
    if (n < static_cast<ssize_t>(header + ETH_HLEN)) continue;
    std::string frame(buffer + header, static_cast<size_t>(n) - header);
    const size_t type = frame.substr(12, 2) == std::string("\x81\x00", 2) ? 16 : 12;
    if (frame.substr(type, 2) == frame_of("").substr(12, 2)) return frame;
  }
  return "";
}

// Whether a TCP stack is there: nobody listens, so that an answer is a reset.
bool answers(const char* address, uint16_t port = 9) {
  const UniqueFd fd(check(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket"));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  inet_pton(AF_INET, address, &to.sin_addr);
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&to), sizeof(to)) == 0 || errno != EINPROGRESS)
    return true;
  return wait_readable(fd.get(), 500);
}

// Sooner or later: a neighbor that did not answer before is not asked again at once.
bool answers_again(const char* address) {
  for (int i = 0; i < 20; ++i)
    if (answers(address)) return true;
  return false;
}

bool has_ingress(const World& world, const std::string& interface) {
  return world.in_container("tc qdisc show dev " + interface).find("ingress") != std::string::npos;
}

// What a resolver of the host's within the namespace asks comes back to it, and nothing else does.
TEST(Splice, LetsAResolverThrough) {
  with_world([](World& world) {
    world.add_pair("eth0", "peer0");
    quietly("ip addr add 10.0.0.1/24 dev peer0");
    EXPECT_EQ(world.in_container("ip addr add 10.0.0.2/24 dev eth0"), "");
    std::vector<Endpoint> endpoints = splice_namespace(world.container.get());
    let_resolver_through(world.container.get());
    const std::string filters = world.in_container("tc filter show dev eth0 ingress");
    let_resolver_through(world.container.get());
    EXPECT_EQ(world.in_container("tc filter show dev eth0 ingress"), filters);

    const UniqueFd server = bound(address_of("10.0.0.1", 53));
    world.enter(world.container);
    const UniqueFd resolver = bound(address_of("0.0.0.0", 0)), other = bound(address_of("0.0.0.0", 40000));
    const sockaddr_in to = address_of("10.0.0.1", 53);
    check(sendto(resolver.get(), "ask", 3, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to), "sendto");
    ASSERT_TRUE(wait_readable(server.get(), 2000));
    sockaddr_in from{};
    socklen_t size = sizeof from;
    char buffer[16];
    EXPECT_EQ(recvfrom(server.get(), buffer, sizeof buffer, 0, reinterpret_cast<sockaddr*>(&from), &size), 3);
    EXPECT_GE(ntohs(from.sin_port), 64512);
    const sockaddr_in guest = address_of("10.0.0.2", 40000);
    sendto(server.get(), "guest's", 7, 0, reinterpret_cast<const sockaddr*>(&guest), sizeof guest);
    sendto(server.get(), "answer", 6, 0, reinterpret_cast<sockaddr*>(&from), size);
    EXPECT_TRUE(wait_readable(resolver.get(), 2000));
    EXPECT_FALSE(wait_readable(other.get(), 100));
    EXPECT_TRUE(answers("10.0.0.1", 53));
    EXPECT_FALSE(answers("10.0.0.1", 54));
    unsplice(world.container.get(), {endpoints[0].interface});
    world.enter(world.engine);
    EXPECT_FALSE(has_ingress(world, "eth0"));
  });
}

TEST(Splice, FramesPassBothWays) {
  with_world([](World& world) {
    world.add_pair("eth0", "peer0", 1400);
    world.in_container("ip addr add 10.0.0.2/24 dev eth0; ip route add default via 10.0.0.1");
    std::vector<Endpoint> endpoints = splice_namespace(world.container.get());
    ASSERT_EQ(endpoints.size(), 1u);
    Endpoint& e = endpoints[0];
    EXPECT_EQ(e.interface.name, "eth0");
    EXPECT_EQ(e.interface.addresses, std::vector<std::string>{"10.0.0.2/24"});
    EXPECT_EQ(e.interface.routes.size(), 1u);
    EXPECT_EQ(e.tap_name, "husk0");
    EXPECT_EQ(fcntl(e.tap_fd.get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    const std::string tap = world.in_container("ip addr show dev husk0");
    EXPECT_NE(tap.find("mtu 1400"), std::string::npos) << tap;
    EXPECT_EQ(tap.find("inet"), std::string::npos) << tap;  // a wire has no address
    EXPECT_NE(world.in_container("ip link show dev lo").find("LOOPBACK,UP"), std::string::npos);
    EXPECT_EQ(if_nametoindex("husk0"), 0u);  // this thread is still in the engine's namespace

    const UniqueFd peer = packet_socket("peer0");
    const std::string out = frame_of("to the guest"), in = frame_of(std::string(1300, 'g'));
    write_all(peer.get(), out, "send");
    EXPECT_EQ(receive(e.tap_fd.get(), kVnetHeader), out);
    write_all(e.tap_fd.get(), std::string(kVnetHeader, '\0') + in, "write to the tap");
    EXPECT_EQ(receive(peer.get(), 0), in);
    // A VLAN's tag stays on.
    std::string tagged = out;
    tagged.insert(12, std::string("\x81\x00\x00\x05", 4));
    write_all(peer.get(), tagged, "send");
    EXPECT_EQ(receive(e.tap_fd.get(), kVnetHeader), tagged);

    // The namespace's own stack does not answer beside the guest.
    quietly("ip addr add 10.0.0.1/24 dev peer0");
    EXPECT_FALSE(answers("10.0.0.2"));

    e.tap_fd.reset();
    EXPECT_NE(world.in_container("ip link show dev husk0").find("does not exist"), std::string::npos);
    EXPECT_TRUE(has_ingress(world, "eth0"));  // what the undo list is for
    Interface gone;
    gone.index = 4711;
    unsplice(world.container.get(), {e.interface, gone});
    EXPECT_FALSE(has_ingress(world, "eth0"));
    EXPECT_TRUE(answers_again("10.0.0.2"));          // as before
    unsplice(world.container.get(), {e.interface});  // twice is fine
  });
}

std::vector<std::string> names(const std::vector<Interface>& interfaces) {
  std::vector<std::string> names;
  for (const Interface& interface : interfaces) names.push_back(interface.name);
  return names;
}

TEST(Splice, FollowsWhatComesChangesAndGoes) {
  using Names = std::vector<std::string>;
  with_world([](World& world) {
    world.add_pair("eth0", "peer0");
    world.add_pair("eth1", "peer1");
    std::vector<Interface> known;
    std::vector<Endpoint> first = splice_namespace(world.container.get());
    for (const Endpoint& e : first) known.push_back(e.interface);
    Changes changes = update_splices(world.container.get(), known);
    EXPECT_EQ(changes.added.size() + changes.refused.size() + changes.changed.size() + changes.gone.size(),
              0u);

    world.add_pair("eth2", "peer2");
    world.in_container("ip addr add 10.0.0.2/24 dev eth0; ip link del eth1");
    changes = update_splices(world.container.get(), known);
    EXPECT_EQ(names(changes.changed), Names{"eth0"});
    EXPECT_EQ(changes.changed[0].addresses, Names{"10.0.0.2/24"});
    EXPECT_EQ(names(changes.gone), Names{"eth1"});
    ASSERT_EQ(changes.added.size(), 1u);
    EXPECT_EQ(changes.added[0].interface.name, "eth2");
    const UniqueFd peer = packet_socket("peer2");
    write_all(peer.get(), frame_of("late"), "send");
    EXPECT_EQ(receive(changes.added[0].tap_fd.get(), kVnetHeader), frame_of("late"));

    // Another name is a change; another MAC or MTU another card; down is gone.
    known = {changes.changed[0], changes.added[0].interface};
    changes.added.clear();
    first.clear();
    world.in_container("ip link set eth0 down; ip link set eth0 name front0; ip link set front0 up");
    world.in_container("ip link set eth2 mtu 1300");
    changes = update_splices(world.container.get(), known);
    EXPECT_EQ(names(changes.changed), Names{"front0"});
    EXPECT_EQ(names(changes.gone), Names{"eth2"});
    ASSERT_EQ(changes.added.size(), 1u);
    EXPECT_EQ(changes.added[0].interface.mtu, 1300u);
    known = {changes.changed[0], changes.added[0].interface};
    world.in_container("ip link set front0 down");
    changes = update_splices(world.container.get(), known);
    EXPECT_EQ(names(changes.gone), Names{"front0"});
    EXPECT_FALSE(has_ingress(world, "front0"));
  });
}

TEST(Splice, OneThatCannotBeSplicedDoesNotStopTheOthers) {
  with_world([](World& world) {
    world.add_pair("eth0", "peer0");
    world.add_pair("eth1", "peer1");
    EXPECT_EQ(world.in_container("tc qdisc add dev eth0 ingress"), "");
    const Changes changes = update_splices(world.container.get(), {});
    EXPECT_EQ(names(changes.refused), std::vector<std::string>{"eth0"});
    ASSERT_EQ(changes.added.size(), 1u);
    EXPECT_EQ(changes.added[0].interface.name, "eth1");
  });
}

TEST(Splice, AfterAKillOnlyWhatHasNoTapIsUnspliced) {
  with_world([](World& world) {
    world.add_pair("eth0", "peer0");
    world.add_pair("eth1", "peer1");
    world.add_pair("husk-lan", "peer2");  // not a tap of husk's, for all its name
    std::vector<Endpoint> endpoints = splice_namespace(world.container.get());
    ASSERT_EQ(endpoints.size(), 3u);
    endpoints.erase(endpoints.begin() + 1, endpoints.end());
    unsplice_all(fmt::format("/proc/self/fd/{}", world.container.get()));
    EXPECT_TRUE(has_ingress(world, "eth0"));  // a living VM's
    EXPECT_FALSE(has_ingress(world, "eth1"));
    EXPECT_FALSE(has_ingress(world, "husk-lan"));
  });
}

TEST(Monitor, TellsOfWhatAVmMayHaveACardFor) {
  with_world([](World& world) {
    const UniqueFd monitor = open_network_monitor(world.container.get());
    const auto changed = [&](const std::string& command) {
      EXPECT_EQ(world.in_container(command), "") << command;
      return network_changed(monitor.get());
    };
    EXPECT_FALSE(network_changed(monitor.get()));
    EXPECT_FALSE(changed("ip link set lo up"));
    EXPECT_FALSE(changed("ip tuntap add husk7 mode tap"));
    EXPECT_TRUE(changed("ip link add eth0 type veth peer name eth9"));
    EXPECT_TRUE(changed("ip link set eth0 up"));
    EXPECT_TRUE(changed("ip addr add 10.0.0.2/24 dev eth0"));
    EXPECT_TRUE(changed("ip route add default via 10.0.0.1"));
    EXPECT_TRUE(changed("ip link del eth0"));
    EXPECT_FALSE(network_changed(monitor.get()));
  });
}

TEST(Splice, AMacvlanToo) {
  with_world([](World& world) {
    quietly("ip link add up0 type veth peer name switch0");
    quietly("ip link set up0 up; ip link set switch0 up");
    quietly("ip link add mac0 link up0 type macvlan mode bridge");
    quietly(fmt::format("ip link set mac0 netns /proc/{}/fd/{}", getpid(), world.container.get()));
    EXPECT_EQ(world.in_container("ip link set mac0 up"), "");
    const std::vector<Endpoint> endpoints = splice_namespace(world.container.get());
    ASSERT_EQ(endpoints.size(), 1u);
    const UniqueFd peer = packet_socket("switch0");
    write_all(peer.get(), frame_of("broadcast"), "send");
    EXPECT_EQ(receive(endpoints[0].tap_fd.get(), kVnetHeader), frame_of("broadcast"));
    write_all(endpoints[0].tap_fd.get(), std::string(kVnetHeader, '\0') + frame_of("back"), "write");
    EXPECT_EQ(receive(peer.get(), 0), frame_of("back"));
    // A group that only the guest has joined.
    std::string group = frame_of("group");
    group.replace(0, 6, std::string("\x01\x00\x5e\x00\x00\xfb", 6));
    write_all(peer.get(), group, "send");
    EXPECT_EQ(receive(endpoints[0].tap_fd.get(), kVnetHeader), group);
    unsplice(world.container.get(), {endpoints[0].interface});
    EXPECT_EQ(world.in_container("ip link show mac0").find("ALLMULTI"), std::string::npos);
  });
}

TEST(Splice, AnEmptyNamespaceHasNoEndpoints) {
  with_world([](World& world) { EXPECT_TRUE(splice_namespace(world.container.get()).empty()); });
}

TEST(Splice, SomebodyElsesQdiscIsRefusedAndNothingIsLeft) {
  for (const std::string qdisc : {"ingress", "clsact"}) {
    with_world([&](World& world) {
      world.add_pair("eth0", "peer0");
      world.add_pair("eth1", "peer1");
      if (world.in_container("tc qdisc add dev eth1 " + qdisc) != "") return;  // not with this kernel
      try {
        splice_namespace(world.container.get());
        ADD_FAILURE() << "spliced";
      } catch (const Error& e) {
        EXPECT_EQ(e.kind(), ErrorKind::kUnsupported);
        EXPECT_NE(e.message().find("interface eth1 has an ingress"), std::string::npos) << e.message();
      }
      EXPECT_FALSE(has_ingress(world, "eth0"));
      EXPECT_NE(world.in_container("tc qdisc show dev eth1").find(qdisc),
                std::string::npos);  // theirs is untouched
      EXPECT_EQ(world.in_container("ip -o link").find("husk"), std::string::npos);
    });
  }
}

TEST(Splice, UnspliceLeavesSomebodyElsesFilters) {
  with_world([](World& world) {
    world.add_pair("eth0", "peer0");
    const std::string filter =
        "tc filter add dev eth0 parent ffff: protocol all u32 match u32 0 0 flowid 1:1";
    EXPECT_EQ(world.in_container("tc qdisc add dev eth0 ingress; " + filter), "");
    Interface eth0;
    world.enter(world.container);
    eth0.index = static_cast<int>(if_nametoindex("eth0"));
    world.enter(world.engine);
    unsplice(world.container.get(), {eth0});
    EXPECT_TRUE(has_ingress(world, "eth0"));
  });
}

TEST(Splice, WhatIsNotANamespace) {
  const UniqueFd null = open_file("/dev/null", O_RDONLY);
  EXPECT_THROW(splice_namespace(null.get()), Error);
  EXPECT_THROW(splice_namespace(-1), Error);
  unsplice(null.get(), {Interface{}});  // logs
  unsplice(-1, {Interface{}});
}

}  // namespace
}  // namespace husk::vm
