#include "vm/net/host_end_filters.h"

#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <netinet/in.h>

#include <vector>

#include "vm/net/traffic_control.h"

namespace husk::vm {
namespace {

// Offsets in a frame, of IP without options.
constexpr uint32_t kType = 12, kIp = ETH_HLEN, kFragment = kIp + 6, kProtocol = kIp + 9, kSource = kIp + 12,
                   kDestination = kIp + 16, kPayload = kIp + 20;
constexpr uint32_t kTcpFlags = kPayload + 13, kUdpDestination = kPayload + 2, kIcmpType = kPayload;
// The first VLAN tag is not in the frame any more: the kernel has taken it off.
constexpr uint32_t kVlanTag = static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_VLAN_TAG);
constexpr uint32_t kHasVlanTag = static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT);

constexpr uint32_t kNoOptions = 0x45, kFragmentBits = 0x3fff, kVlanId = 0xfff, kLoopbackNet = 127;
constexpr uint32_t kAckOrReset = 0x14, kEchoReply = 0;
constexpr uint32_t kPickedPorts = 0x8000;  // ip_local_port_range begins there, kResolverPorts as well

struct Condition {
  uint16_t size;  // BPF_B, BPF_H, BPF_W
  uint32_t at;
  enum Test { kIs, kHasAny, kHasNone } test;
  uint32_t value;
};
using AllOf = std::vector<Condition>;
using AnyOf = std::vector<AllOf>;

constexpr sock_filter load(const Condition& c) {
  return BPF_STMT(static_cast<uint16_t>(BPF_LD | c.size | BPF_ABS), c.at);
}

// On when it holds, else over `skip` instructions.
sock_filter test(const Condition& c, size_t skip) {
  const auto far = static_cast<uint8_t>(skip);
  const auto jump = static_cast<uint16_t>(BPF_JMP | (c.test == Condition::kIs ? BPF_JEQ : BPF_JSET) | BPF_K);
  if (c.test == Condition::kHasNone) return BPF_JUMP(jump, c.value, far, 0);
  return BPF_JUMP(jump, c.value, 0, far);
}

constexpr sock_filter end(int result) {
  return BPF_STMT(BPF_RET | BPF_K, static_cast<uint32_t>(result));
}

std::vector<sock_filter> program(const AnyOf& any, int yes, int no) {
  std::vector<sock_filter> code;
  for (const AllOf& all : any) {
    for (size_t i = 0; i < all.size(); ++i) {
      code.push_back(load(all[i]));
      code.push_back(test(all[i], 2 * (all.size() - i - 1) + 1));
    }
    code.push_back(end(yes));
  }
  code.push_back(end(no));
  return code;
}

uint32_t number(const IpAddress& address) {
  return uint32_t{address.bytes[0]} << 24 | uint32_t{address.bytes[1]} << 16 |
         uint32_t{address.bytes[2]} << 8 | address.bytes[3];
}

}  // namespace

// A VLAN tag of VLAN 0 is none to the guest's kernel, however many there are: a second one would hide an
// address from us only.
void drop_loopback(NetlinkSocket& socket, int index, const IpAddress& own) {
  using enum Condition::Test;
  const Condition ip{BPF_H, kType, kIs, ETH_P_IP}, no_vlan{BPF_H, kVlanTag, kHasNone, kVlanId};
  add_bpf_filter(socket, index,
                 program({{ip, {BPF_B, kSource, kIs, kLoopbackNet}},
                          {ip, {BPF_B, kDestination, kIs, kLoopbackNet}},
                          {ip, {BPF_W, kSource, kIs, number(own)}},
                          {{BPF_H, kType, kIs, ETH_P_8021Q}, no_vlan},
                          {{BPF_H, kType, kIs, ETH_P_8021AD}, no_vlan}},
                         TC_ACT_SHOT, TC_ACT_UNSPEC),
                 BpfResult::kAction);
}

void pass_answers(NetlinkSocket& socket, int index, const IpAddress& own) {
  using enum Condition::Test;
  const auto from_guest = [&](uint32_t protocol, const Condition& answer) {
    return AllOf{{BPF_H, kType, kIs, ETH_P_IP},
                 {BPF_W, kDestination, kIs, number(own)},
                 {BPF_H, kHasVlanTag, kIs, 0},
                 {BPF_B, kIp, kIs, kNoOptions},
                 {BPF_H, kFragment, kHasNone, kFragmentBits},
                 {BPF_B, kProtocol, kIs, protocol},
                 answer};
  };
  // A frame that is too short for a question is no match.
  add_bpf_filter(socket, index,
                 program({from_guest(IPPROTO_TCP, {BPF_B, kTcpFlags, kHasAny, kAckOrReset}),
                          from_guest(IPPROTO_UDP, {BPF_H, kUdpDestination, kHasAny, kPickedPorts}),
                          from_guest(IPPROTO_ICMP, {BPF_B, kIcmpType, kIs, kEchoReply})},
                         -1, 0),
                 BpfResult::kMatch);
}

}  // namespace husk::vm
