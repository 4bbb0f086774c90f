// What the tests of a spliced namespace share: the namespaces, frames and sockets. Needs root and ip(8).
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <string>
#include <thread>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"

namespace husk::vm {

// For local experiments, so that the kernel's own frames are told apart.
constexpr uint16_t kEtherType = 0x88b5;

// struct virtio_net_hdr (its header is no C++), as long as nobody sets another size.
constexpr size_t kVnetHeader = 10;

inline std::string run(const std::string& command) {
  std::string output;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (!pipe) return "popen failed";
  char buffer[4096];
  while (const size_t n = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, n);
  pclose(pipe);
  return output;
}

inline void quietly(const std::string& command) {
  EXPECT_EQ(run(command), "") << command;
}

inline UniqueFd this_namespace() {
  return open_file("/proc/thread-self/ns/net", O_RDONLY);
}

// A thread with two fresh namespaces: the container's, which is spliced, and the engine's, where the other
// ends of its veth pairs are. f runs in the engine's.
struct World {
  UniqueFd container, engine;

  void enter(const UniqueFd& netns) const { ASSERT_EQ(setns(netns.get(), CLONE_NEWNET), 0); }
  // A command's output in the container's namespace.
  std::string in_container(const std::string& command) const {
    enter(container);
    std::string output = run(command);
    enter(engine);
    return output;
  }
  void add_pair(const std::string& name, const std::string& peer, int mtu = 1500) const {
    quietly(fmt::format("ip link add {} mtu {} type veth peer name {} mtu {} netns /proc/{}/fd/{}", peer, mtu,
                        name, mtu, getpid(), container.get()));
    quietly("ip link set up dev " + peer);
    EXPECT_EQ(in_container("ip link set up dev " + name), "");
  }
};

inline void with_world(const std::function<void(World&)>& f) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  std::thread([&] {
    try {
      World world;
      check(unshare(CLONE_NEWNET), "unshare");
      world.container = this_namespace();
      check(unshare(CLONE_NEWNET), "unshare");
      world.engine = this_namespace();
      f(world);
    } catch (const std::exception& e) {
      ADD_FAILURE() << e.what();
    }
  }).join();
}

inline std::string frame_of(const std::string& payload) {
  std::string frame("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x99", 12);
  frame += static_cast<char>(kEtherType >> 8);
  frame += static_cast<char>(kEtherType & 0xff);
  frame += payload;
  frame.resize(std::max<size_t>(frame.size(), ETH_ZLEN), '\0');
  return frame;
}

inline UniqueFd packet_socket(const std::string& interface) {
  UniqueFd fd(check(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(kEtherType)), "packet socket"));
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(kEtherType);
  address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  check(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), "bind");
  return fd;
}

inline sockaddr_in address_of(const char* text, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  inet_pton(AF_INET, text, &address.sin_addr);
  return address;
}

// A socket of UDP in whatever namespace we are in.
inline UniqueFd bound(const sockaddr_in& address) {
  UniqueFd fd(check(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), "socket"));
  check(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind");
  return fd;
}

}  // namespace husk::vm
