// Interfaces read and written in network namespaces that the tests make themselves; they need root and ip(8).
#include "libcontainer/linux/netlink.h"

#include <gtest/gtest.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <functional>
#include <thread>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/netlink_address.h"
#include "tests/base/kind_of.h"

namespace husk {
namespace {

// Runs f in a thread with an empty network namespace of its own; the test's own stays as it is.
void in_new_namespace(const std::function<void()>& f) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root";
  std::thread([&] {
    ASSERT_EQ(unshare(CLONE_NEWNET), 0);
    try {
      f();
    } catch (const std::exception& e) {
      ADD_FAILURE() << e.what();
    }
  }).join();
}

void ip(const std::string& arguments) {
  EXPECT_EQ(system(("ip " + arguments).c_str()), 0) << "ip " << arguments;
}

void make_pair() {
  ip("link add eth0 address 02:42:ac:11:00:02 mtu 1450 type veth peer name other0 address 02:42:ac:11:00:03");
  ip("link set other0 up");
}

const Route* route_to(const Interface& interface, const std::string& destination, bool ipv6 = false) {
  const auto found = std::ranges::find_if(
      interface.routes, [&](const Route& r) { return r.destination == destination && r.ipv6 == ipv6; });
  EXPECT_NE(found, interface.routes.end()) << "no route to " << destination;
  return found == interface.routes.end() ? nullptr : &*found;
}

TEST(Netlink, ScansAddressesRoutesAndNeighbors) {
  in_new_namespace([] {
    make_pair();
    ip("link set lo up");
    ip("addr add 172.17.0.2/16 dev eth0");
    ip("addr add fd00:1::2/64 dev eth0 nodad");
    ip("addr add 192.0.2.1 peer 192.0.2.9/32 dev eth0");
    ip("link set eth0 up");
    ip("route add default via 172.17.0.1 dev eth0");
    ip("route add 169.254.1.1 dev eth0 scope link src 172.17.0.2");
    ip("route add 10.8.0.0/16 via 10.99.0.1 dev eth0 onlink metric 77 mtu 1400");
    ip("-6 route add default via fd00:1::1 dev eth0 metric 300");
    ip("neigh add 172.17.0.1 lladdr 02:42:00:00:00:01 dev eth0 nud permanent");
    ip("neigh add fd00:1::1 lladdr 02:42:00:00:00:01 dev eth0 nud permanent");
    ip("neigh add 172.17.0.7 lladdr 02:42:00:00:00:07 dev eth0 nud reachable");
    ip("link add eth1 type veth peer name other1");  // down: not wanted
    ip("tuntap add husk0 mode tap");
    ip("link set husk0 up");  // our own: not wanted

    const std::vector<Interface> all = scan_interfaces();
    ASSERT_EQ(all.size(), 2u);  // in index order: veth makes the peer first
    EXPECT_EQ(all[0].name, "other0");
    const Interface& eth0 = all[1];
    EXPECT_EQ(eth0.name, "eth0");
    EXPECT_EQ(eth0.mac, "02:42:ac:11:00:02");
    EXPECT_EQ(eth0.mtu, 1450u);
    EXPECT_EQ(eth0.addresses, (std::vector<std::string>{"172.17.0.2/16", "192.0.2.1/32", "fd00:1::2/64"}));
    EXPECT_EQ(eth0.routes.size(), 5u);
    if (const Route* r = route_to(eth0, "")) {
      EXPECT_EQ(r->gateway, "172.17.0.1");
    }
    if (const Route* r = route_to(eth0, "192.0.2.9/32")) {
      EXPECT_EQ(r->source, "192.0.2.1");
    }
    if (const Route* r = route_to(eth0, "169.254.1.1/32")) {
      EXPECT_EQ(r->gateway, "");
      EXPECT_EQ(r->source, "172.17.0.2");
      EXPECT_EQ(r->scope, uint32_t{RT_SCOPE_LINK});
    }
    if (const Route* r = route_to(eth0, "10.8.0.0/16")) {
      EXPECT_EQ(r->flags, uint32_t{RTNH_F_ONLINK});
      EXPECT_EQ(r->metric, 77u);
      EXPECT_EQ(r->mtu, 1400u);
    }
    if (const Route* r = route_to(eth0, "", true)) {
      EXPECT_EQ(r->gateway, "fd00:1::1");
      EXPECT_EQ(r->metric, 300u);
    }
    ASSERT_EQ(eth0.neighbors.size(), 2u);
    for (const Neighbor& n : eth0.neighbors) EXPECT_EQ(n.mac, "02:42:00:00:00:01");
  });
}

TEST(Netlink, ScansWhatIsBelowOrNoEthernet) {
  in_new_namespace([] {
    make_pair();
    ip("link set eth0 up");
    ip("link add br0 type bridge");
    ip("link set br0 up");
    ip("link add port0 type veth peer name other1");
    ip("link set port0 master br0 up");  // its frames are br0's
    ip("tuntap add tun0 mode tun");
    ip("link set tun0 up");
    ip("link set br0 arp off");
    EXPECT_EQ(system("echo 1 >/proc/sys/net/ipv6/conf/br0/disable_ipv6"), 0);
    const bool macvlan =
        system("ip link add link eth0 name mac0 type macvlan 2>/dev/null && ip link set mac0 up") == 0;
    std::vector<std::string> seen;
    for (const Interface& i : scan_interfaces()) {
      seen.push_back(i.name);
      EXPECT_EQ(i.arp, i.name != "br0" && i.name != "tun0") << i.name;
      EXPECT_EQ(i.ipv6, i.name != "br0") << i.name;
      EXPECT_EQ(i.filters_multicast, i.name == "mac0");
      if (i.name == "tun0") {
        EXPECT_EQ(i.refusal, "it carries no Ethernet frames (tun)");
      } else if (i.name == "mac0") {
        EXPECT_EQ(i.refusal,
                  "its frames come through eth0, which is in the same network namespace (macvlan)");
      } else {
        EXPECT_EQ(i.refusal, "") << i.name;
      }
    }
    std::vector<std::string> wanted = {"other0", "eth0", "br0", "tun0"};
    if (macvlan) wanted.push_back("mac0");
    EXPECT_EQ(seen, wanted);
  });
}

Interface example() {
  Interface i;
  i.name = "eth7";
  i.mac = "02:42:ac:11:00:02";
  i.mtu = 1400;
  i.addresses = {"172.17.0.2/16", "10.1.2.3/32", "fd00:1::2/64"};
  i.arp = false;
  i.routes.resize(8);
  i.routes[0].gateway = "169.254.1.1";  // reachable through the next one only
  i.routes[1].destination = "169.254.1.1/32";
  i.routes[1].scope = RT_SCOPE_LINK;
  i.routes[1].source = "10.1.2.3";
  i.routes[2] = {.destination = "10.8.0.0/16", .gateway = "10.99.0.1", .source = "", .metric = 5};
  i.routes[2].flags = RTNH_F_ONLINK;
  i.routes[2].mtu = 1300;
  i.routes[3].ipv6 = true;
  i.routes[3].gateway = "fd00:1::1";
  i.routes[3].metric = 1024;
  i.routes[4].destination = "10.9.0.0/16";
  i.routes[4].gateway = "fd00:1::1";
  i.routes[5].destination = "fd00:2::/64";
  i.routes[5].ipv6 = true;
  i.routes[5].metric = 9;
  i.routes[6].destination = "10.10.0.0/16";
  i.routes[6].type = RTN_BLACKHOLE;
  i.routes[7].destination = "fd00:3::/64";
  i.routes[7].type = RTN_UNREACHABLE;
  i.routes[7].ipv6 = true;
  i.routes[7].metric = 1024;
  for (Route& r : i.routes) r.protocol = RTPROT_BOOT;
  i.neighbors = {{"172.17.0.1", "02:42:00:00:00:01"}, {"fd00:1::1", "02:42:00:00:00:01"}};
  return i;
}

// Comparable: what a scan shows is sorted by the kernel's tables.
Interface sorted(Interface i) {
  std::ranges::sort(i.addresses);
  std::ranges::sort(i.routes, {}, [](const Route& r) { return r.destination + (r.ipv6 ? "6" : "4"); });
  std::ranges::sort(i.neighbors, {}, &Neighbor::address);
  return interface_from_bytes(interface_to_bytes(i));  // without what does not travel
}

// The second one, with what the first one has since nobody knows whose it is: the routes that lead nowhere.
Interface together(std::vector<Interface> two) {
  two.at(1).routes.insert(two[1].routes.end(), two[0].routes.begin(), two[0].routes.end());
  return two[1];
}

TEST(Netlink, TwoWaysToOnePlace) {
  in_new_namespace([] {
    make_pair();
    Interface i;
    for (const char* name : {"eth0", "other0"}) {
      i.name = name;
      i.mac = i.name == "eth0" ? "02:42:ac:11:00:02" : "02:42:ac:11:00:03";
      i.routes.assign(2, {});
      i.routes[0].destination = "10.1.0.0/16";
      i.routes[1].destination = "fd00:1::/64";
      i.routes[1].ipv6 = true;
      for (int time = 0; time < 2; ++time) configure_interface(i);
    }
    EXPECT_EQ(system("test $(ip route show 10.1.0.0/16 | wc -l) = 2"), 0);
    EXPECT_EQ(system("test $(ip -6 route show fd00:1::/64 | grep -c dev) = 2"), 0);
  });
}

TEST(Netlink, WhatIsConfiguredIsScanned) {
  in_new_namespace([] {
    make_pair();
    const Interface wanted = example();
    for (int time = 0; time < 2; ++time) {  // twice is fine
      configure_interface(wanted);
      EXPECT_EQ(if_nametoindex("eth0"), 0u);
      const std::vector<Interface> all = scan_interfaces();
      ASSERT_EQ(all.size(), 2u);
      EXPECT_EQ(sorted(together(all)), sorted(wanted));
    }
    // No duplicate address detection: the IPv6 address works at once.
    EXPECT_EQ(system("test -z \"$(ip -6 addr show dev eth7 tentative scope global)\""), 0);
    EXPECT_EQ(system("ip addr show dev eth7 | grep -q 'brd 172.17.255.255'"), 0);
  });
}

TEST(Netlink, TwoCardsWithOneAnothersNames) {
  in_new_namespace([] {
    ip("link add eth0 address 02:00:00:00:00:0a type veth peer name eth1 address 02:00:00:00:00:0b");
    Interface first, second;
    first.name = "eth1";
    first.mac = "02:00:00:00:00:0a";
    first.addresses = {"10.0.0.1/24"};
    second.name = "eth0";
    second.mac = "02:00:00:00:00:0B";
    configure_interface(first);
    configure_interface(second);
    EXPECT_EQ(system("ip link show dev eth1 | grep -q 02:00:00:00:00:0a"), 0);
    EXPECT_EQ(system("ip link show dev eth0 | grep -q 02:00:00:00:00:0b"), 0);
    EXPECT_EQ(system("ip addr show dev eth1 | grep -q 10.0.0.1/24"), 0);
  });
}

TEST(Netlink, FindsTheDeviceByNameAndGivesItTheMac) {
  in_new_namespace([] {
    make_pair();
    Interface i;
    i.name = "net1";
    i.mac = "02:00:00:00:00:77";
    EXPECT_EQ(kind_of([&] { configure_interface(i); }), ErrorKind::kNotFound);
    configure_interface(i, "eth0");
    EXPECT_EQ(system("ip link show dev net1 | grep -q 02:00:00:00:00:77"), 0);
  });
}

TEST(Netlink, ReconfigureTakesAwayOnlyWhatWasSaidBefore) {
  in_new_namespace([] {
    make_pair();
    const Interface before = example();
    configure_interface(before, "eth0");
    ip("addr add 10.77.0.1/24 dev eth7");  // somebody else's
    Interface now = before;
    now.name = "front0";
    now.addresses = {"172.17.0.2/16", "172.18.0.2/16", "10.1.2.3/32"};
    now.routes.resize(2);
    now.neighbors.clear();
    now.arp = true;
    now.ipv6 = false;
    std::erase(now.addresses, "fd00:1::2/64");
    for (int time = 0; time < 2; ++time) {  // twice is fine
      reconfigure_interface(before, now, time ? "front0" : "eth7");
      Interface wanted = now;
      wanted.addresses.push_back("10.77.0.1/24");
      EXPECT_EQ(sorted(together(scan_interfaces())), sorted(wanted));
    }
    EXPECT_EQ(kind_of([&] { reconfigure_interface(before, now, "eth7"); }), ErrorKind::kNotFound);
  });
}

TEST(Netlink, TheHostEndIsOnLinkAndMayReachTheLoopback) {
  in_new_namespace([] {
    make_pair();
    Interface wanted = example();
    wanted.host_end = Neighbor{"169.254.104.2", "02:00:00:00:00:01"};
    const Interface i = interface_from_bytes(interface_to_bytes(wanted));
    EXPECT_EQ(i.host_end, wanted.host_end);
    for (int time = 0; time < 2; ++time) configure_interface(i);
    EXPECT_EQ(system("ip route get 169.254.104.2 | grep -q '^169.254.104.2 dev eth7'"), 0);
    EXPECT_EQ(system("test -z \"$(ip route show 169.254.104.2)\""), 0);  // not among the container's
    EXPECT_EQ(system("ip neigh show dev eth7 | grep -q '169.254.104.2 lladdr 02:00:00:00:00:01 PERMANENT'"),
              0);
    EXPECT_EQ(system("grep -q 1 /proc/sys/net/ipv4/conf/eth7/route_localnet"), 0);
  });
}

TEST(Netlink, OwnTaps) {
  for (const char* name : {"husk0", "husk12"}) EXPECT_TRUE(is_own_tap(name)) << name;
  for (const char* name : {"husk", "husk-lan", "huskcard1", "husk0x", "eth0"})
    EXPECT_FALSE(is_own_tap(name)) << name;
}

TEST(Netlink, ErrorsNameTheInterfaceTheStepAndTheKernelsReason) {
  in_new_namespace([] {
    make_pair();
    Interface i = example();
    i.routes = {Route{}};
    i.routes[0].gateway = "198.51.100.1";
    try {
      configure_interface(i);
      ADD_FAILURE() << "an unreachable gateway was taken";
    } catch (const Error& e) {
      EXPECT_EQ(e.errnum(), ENETUNREACH);
      EXPECT_NE(e.message().find("interface eth7: add route to default via 198.51.100.1: "),
                std::string::npos);
      EXPECT_NE(e.message().find("Nexthop"), std::string::npos) << e.message();  // the extended ack
    }
  });
}

TEST(Netlink, SetLinkUp) {
  in_new_namespace([] {
    set_link_up("lo");
    set_link_up("lo");
    EXPECT_EQ(system("ip link show dev lo | grep -q LOOPBACK,UP"), 0);
    EXPECT_THROW(set_link_up("nothing0"), Error);
    EXPECT_THROW(set_link_up("a-name-that-is-too-long"), Error);
  });
}

TEST(NetlinkBytes, RoundTrip) {
  Interface interface = example();
  interface.shares_mac = true;
  interface.host_end = Neighbor{"169.254.104.2", "02:00:00:00:00:01"};
  EXPECT_EQ(interface_from_bytes(interface_to_bytes(interface)), interface);
}

TEST(NetlinkBytes, AMacHasOneSpelling) {
  Interface interface = example();
  interface.mac = "02:00:00:00:00:0A";
  EXPECT_EQ(interface_from_bytes(interface_to_bytes(interface)).mac, "02:00:00:00:00:0a");
}

TEST(NetlinkBytes, Malformed) {
  using Break = void (*)(Interface&);
  const auto broken = [](Break change) {
    Interface i = example();
    i.routes.resize(1);
    i.routes[0] = {};
    i.neighbors.resize(1);
    i.host_end = Neighbor{"169.254.104.2", "02:00:00:00:00:01"};
    change(i);
    return kind_of([&] { interface_from_bytes(interface_to_bytes(i)); });
  };
  const Break changes[] = {
      [](Interface& i) { i.name.clear(); },
      [](Interface& i) { i.mac = "02:00"; },
      [](Interface& i) { i.mtu = 67; },
      [](Interface& i) { i.mtu = 65536; },
      [](Interface& i) { i.addresses = {"fd00::1/129"}; },
      [](Interface& i) { i.addresses.assign(5000, "10.0.0.1/8"); },
      [](Interface& i) { i.routes[0].destination = "10.0.0.0"; },
      [](Interface& i) { i.routes[0].destination = "fd00::/64"; },
      [](Interface& i) { i.routes[0].destination = "10.0.0.0/8", i.routes[0].ipv6 = true; },
      [](Interface& i) { i.routes[0].gateway = "gateway"; },
      [](Interface& i) { i.routes[0].gateway = "10.0.0.1", i.routes[0].ipv6 = true; },
      [](Interface& i) { i.routes[0].source = "fd00::1"; },
      [](Interface& i) { i.routes[0].scope = 256; },
      [](Interface& i) { i.routes[0].protocol = 256; },
      [](Interface& i) { i.routes[0].type = 99; },
      [](Interface& i) { i.routes[0].flags = 1; },
      [](Interface& i) { i.routes[0].mtu = 65536; },
      [](Interface& i) { i.neighbors[0] = {}; },
      [](Interface& i) {
        i.neighbors[0] = {"10.0.0.1", ""};
      },
      [](Interface& i) {
        i.neighbors[0] = {"10.0.0.1/8", "02:00:00:00:00:01"};
      },
      [](Interface& i) {
        i.neighbors[0] = {"10.0.0.1", "01:00:00:00:00:01"};
      },
      [](Interface& i) { i.host_end->address = "10.0.0.1/8"; },
      [](Interface& i) { i.host_end->address = "fd00::1"; },
  };
  for (const Break& change : changes)
    EXPECT_EQ(broken(change), ErrorKind::kInvalid) << "change " << &change - changes;
  EXPECT_EQ(kind_of([] { interface_from_bytes(""); }), ErrorKind::kInvalid);
  Interface fine = example();
  EXPECT_NO_THROW(interface_from_bytes(interface_to_bytes(fine)));
}

}  // namespace
}  // namespace husk
