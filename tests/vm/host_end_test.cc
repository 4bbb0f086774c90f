// The host's end of a spliced namespace, without a VM: the test is at QEMU's end of the tap. Needs root and
// ip(8).
#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sys/socket.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/netlink_address.h"
#include "tests/vm/net_world.h"
#include "vm/net/network.h"

namespace husk::vm {
namespace {

std::string ip_bytes(const char* text) {
  const in_addr address = address_of(text, 0).sin_addr;
  return {reinterpret_cast<const char*>(&address), sizeof address};
}

std::string mac_bytes(const std::string& text) {
  const MacAddress mac = parse_mac(text);
  return {mac.begin(), mac.end()};
}

// A frame of IPv4 to this MAC. tags: VLAN ids, the outer one first.
std::string ip_frame(const std::string& mac, const char* from, const char* to, uint8_t protocol,
                     std::string payload, const std::vector<uint16_t>& tags = {}) {
  const auto u16 = [](size_t n) { return std::string{static_cast<char>(n >> 8), static_cast<char>(n)}; };
  payload += "husk's own mark";
  std::string frame = mac_bytes(mac) + mac_bytes("02:00:00:00:00:99");
  for (const uint16_t id : tags) frame += u16(ETH_P_8021Q) + u16(id);
  std::string header = std::string("\x45\0", 2) + u16(20 + payload.size()) + std::string(4, '\0') + '\x40' +
                       static_cast<char>(protocol) + u16(0) + ip_bytes(from) + ip_bytes(to);
  uint32_t sum = 0;
  for (size_t i = 0; i < header.size(); i += 2)
    sum += static_cast<uint32_t>(static_cast<uint8_t>(header[i]) << 8 | static_cast<uint8_t>(header[i + 1]));
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  header.replace(10, 2, u16(~sum & 0xffff));
  return frame + u16(ETH_P_IP) + header + payload;
}

std::string udp(uint16_t port) {
  return {'\x10', '\0', static_cast<char>(port >> 8), static_cast<char>(port), '\0', 23, '\0', '\0'};
}

std::string tcp(char flags) {
  return std::string{'\x10', '\0', '\x20', '\0'} + std::string(8, '\1') + '\x50' + flags +
         std::string(6, '\0');
}

// Whether the marked frame of the last ip_frame() comes, by the time that a frame comes which was sent after
// it.
bool arrives(int fd, size_t header, const std::function<void()>& send_end) {
  send_end();
  bool found = false;
  while (wait_readable(fd, 2000)) {
    char buffer[4096];
    const ssize_t n = read(fd, buffer, sizeof buffer);
    const std::string frame(buffer, n > 0 ? static_cast<size_t>(n) : 0);
    found |= frame.find("husk's own mark") != std::string::npos;
    if (frame.size() > header + ETH_HLEN && frame.substr(header + 12, 2) == frame_of("").substr(12, 2))
      return found;
  }
  ADD_FAILURE() << "the wire is cut";
  return found;
}

UniqueFd any_frame_socket(const std::string& interface) {
  UniqueFd fd(check(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL)), "packet socket"));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  check(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), "bind");
  return fd;
}

TEST(HostEnd, WhatTheWireMayNotSend) {
  with_world([](World& world) {
    world.add_pair("eth0", "peer0");
    world.in_container("ip addr add 10.0.0.2/24 dev eth0");
    const std::vector<Endpoint> endpoints = splice_namespace(world.container.get());
    ASSERT_TRUE(endpoints[0].interface.host_end);
    EXPECT_EQ(endpoints[0].interface.host_end->address, "169.254.104.2");
    const UniqueFd peer = packet_socket("peer0");
    const auto passes = [&](const char* from, const char* to, const std::vector<uint16_t>& tags = {}) {
      write_all(peer.get(), ip_frame(endpoints[0].interface.mac, from, to, IPPROTO_UDP, udp(9), tags),
                "send");
      return arrives(endpoints[0].tap_fd.get(), kVnetHeader,
                     [&] { write_all(peer.get(), frame_of("end"), "send"); });
    };
    EXPECT_TRUE(passes("10.0.0.1", "10.0.0.2"));
    EXPECT_TRUE(passes("10.0.0.1", "10.0.0.2", {7}));
    EXPECT_TRUE(passes("10.0.0.1", "10.0.0.2", {7, 8}));
    EXPECT_FALSE(passes("10.0.0.1", "127.0.0.1"));
    EXPECT_FALSE(passes("127.9.9.9", "10.0.0.2"));
    EXPECT_FALSE(passes("169.254.104.2", "10.0.0.2"));
    EXPECT_TRUE(passes("169.254.104.3", "10.0.0.2"));
    // Tags of VLAN 0 are none to the guest.
    EXPECT_TRUE(passes("10.0.0.1", "10.0.0.2", {0}));
    EXPECT_FALSE(passes("10.0.0.1", "127.0.0.1", {0}));
    EXPECT_FALSE(passes("10.0.0.1", "127.0.0.1", {0, 0}));
    EXPECT_FALSE(passes("10.0.0.1", "127.0.0.1", {0, 0, 0}));
  });
}

TEST(HostEnd, WhatTheGuestMaySend) {
  with_world([](World& world) {
    world.add_pair("eth0", "peer0");
    world.in_container("ip addr add 10.0.0.2/24 dev eth0; ip route add default via 10.0.0.1");
    const std::vector<Endpoint> endpoints = splice_namespace(world.container.get());
    const int tap = endpoints[0].tap_fd.get();
    const Neighbor host_end = endpoints[0].interface.host_end.value();
    const UniqueFd peer = any_frame_socket("peer0");
    // To the wire, in other words.
    const auto redirected = [&](const std::string& frame) {
      write_all(tap, std::string(kVnetHeader, '\0') + frame, "write to the tap");
      return arrives(peer.get(), 0, [&] {
        write_all(tap, std::string(kVnetHeader, '\0') + frame_of("end"), "write to the tap");
      });
    };
    const auto answer = [&](uint8_t protocol, const std::string& payload,
                            const std::vector<uint16_t>& tags = {}) {
      return ip_frame(host_end.mac, "10.0.0.2", host_end.address.c_str(), protocol, payload, tags);
    };
    constexpr char kSyn = 2, kAck = 0x10, kReset = 4;
    EXPECT_TRUE(redirected(answer(IPPROTO_TCP, tcp(kSyn))));
    EXPECT_TRUE(redirected(answer(IPPROTO_TCP, tcp(0))));
    EXPECT_FALSE(redirected(answer(IPPROTO_TCP, tcp(kAck))));
    EXPECT_FALSE(redirected(answer(IPPROTO_TCP, tcp(kSyn | kAck))));
    EXPECT_FALSE(redirected(answer(IPPROTO_TCP, tcp(kReset))));
    EXPECT_TRUE(redirected(answer(IPPROTO_TCP, tcp(kAck), {0})));
    EXPECT_TRUE(redirected(answer(IPPROTO_UDP, udp(53))));
    EXPECT_TRUE(redirected(answer(IPPROTO_ICMP, "\3")));  // unreachable
    EXPECT_TRUE(redirected(answer(IPPROTO_SCTP, tcp(kAck))));
    EXPECT_TRUE(redirected(ip_frame(host_end.mac, "10.0.0.2", "127.0.0.1", IPPROTO_TCP, tcp(kAck))));
    EXPECT_TRUE(redirected(ip_frame(host_end.mac, "10.0.0.2", "10.0.0.2", IPPROTO_TCP, tcp(kAck))));
    // UDP: from the addresses that the host's end has sent to, no others.
    world.enter(world.container);
    const UniqueFd socket = bound(address_of("0.0.0.0", 40000));
    const auto send = [&](const char* from) {
      return redirected(ip_frame(host_end.mac, from, host_end.address.c_str(), IPPROTO_UDP, udp(40000)));
    };
    EXPECT_FALSE(send("10.0.0.2"));
    EXPECT_TRUE(wait_readable(socket.get(), 2000));
    char buffer[64];
    EXPECT_EQ(read(socket.get(), buffer, sizeof buffer), 15);
    EXPECT_FALSE(send("127.0.0.1"));
    EXPECT_TRUE(wait_readable(socket.get(), 2000));
    EXPECT_EQ(read(socket.get(), buffer, sizeof buffer), 15);
    EXPECT_FALSE(send("10.0.0.77"));
    EXPECT_FALSE(send("127.0.0.2"));
    EXPECT_FALSE(send("8.8.8.8"));
    EXPECT_FALSE(wait_readable(socket.get(), 100));
    world.enter(world.engine);
  });
}

TEST(HostEnd, RoutesFollowAndAreUndone) {
  with_world([](World& world) {
    world.add_pair("eth0", "peer0");
    world.add_pair("eth1", "peer1");
    world.in_container("ip addr add 10.0.0.2/24 dev eth0; ip addr add 169.254.104.9/16 dev eth1");
    const std::string show = "ip -d rule; ip -4 route show table all; ip neigh show nud permanent";
    const std::string before = world.in_container("ip link set lo up; " + show);
    const auto way = [&](const std::string& to) { return world.in_container("ip -o route get " + to); };
    std::vector<Endpoint> endpoints = splice_namespace(world.container.get());
    std::vector<Interface> known;
    for (const Endpoint& e : endpoints) known.push_back(e.interface);
    // What is in use there is nobody's.
    EXPECT_NE(way("10.0.0.2").find("dev husk0 table 26741 src 169.254.105.2"), std::string::npos)
        << way("10.0.0.2");
    EXPECT_NE(way("127.0.0.1").find("dev husk0"), std::string::npos);
    EXPECT_NE(way("169.254.104.9").find("dev husk1 table 26741 src 169.254.105.4"), std::string::npos);
    EXPECT_NE(way("127.0.0.11").find("dev lo"), std::string::npos);
    EXPECT_NE(way("10.0.0.1").find("dev eth0 src 10.0.0.2"), std::string::npos);
    // Docker's DNS answers its client there.
    EXPECT_NE(way("127.0.0.1 from 127.0.0.11").find("dev lo"), std::string::npos);
    EXPECT_NE(way("10.0.0.2 from 10.0.0.2").find("dev lo"), std::string::npos);
    EXPECT_NE(way("127.0.0.1 from 169.254.105.2").find("dev husk0"), std::string::npos);
    EXPECT_NE(way("10.0.0.2 from 10.0.0.1 iif eth0").find("local"), std::string::npos);
    EXPECT_TRUE(update_splices(world.container.get(), known).changed.empty());

    world.in_container("ip addr add 10.0.0.3/24 dev eth0; ip addr del 169.254.104.9/16 dev eth1");
    const Changes changes = update_splices(world.container.get(), known);
    ASSERT_EQ(changes.changed.size(), 2u);
    EXPECT_EQ(changes.changed[0].host_end, known[0].host_end);
    EXPECT_NE(way("10.0.0.3").find("dev husk0"), std::string::npos);
    EXPECT_EQ(world.in_container("ip route show table 26741").find("169.254.104.9"), std::string::npos);
    world.in_container("ip addr del 10.0.0.3/24 dev eth0; ip addr add 169.254.104.9/16 dev eth1");

    // One goes, and the loopback is the other's; the last one's end undoes the rest.
    unsplice(world.container.get(), {changes.changed[0]});
    EXPECT_NE(way("127.0.0.1").find("dev husk1"), std::string::npos);
    EXPECT_NE(way("10.0.0.2").find("dev lo"), std::string::npos);
    unsplice(world.container.get(), {changes.changed[1]});
    EXPECT_NE(way("127.0.0.1").find("dev lo"), std::string::npos);
    endpoints.clear();
    EXPECT_EQ(world.in_container(show), before);

    // After a kill it is the taps' end that gives the addresses back.
    endpoints = splice_namespace(world.container.get());
    EXPECT_NE(way("127.0.0.1").find("dev husk0"), std::string::npos);
    endpoints.clear();
    EXPECT_NE(way("127.0.0.1").find("dev lo"), std::string::npos);
    unsplice_all(fmt::format("/proc/self/fd/{}", world.container.get()));
    EXPECT_EQ(world.in_container(show), before);
  });
}

}  // namespace
}  // namespace husk::vm
