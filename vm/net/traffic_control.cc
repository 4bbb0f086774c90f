#include "vm/net/traffic_control.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <net/if.h>
#include <net/if_arp.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <vector>

#include "libcontainer/base/error.h"

namespace husk::vm {
namespace {

constexpr uint32_t kIngressHandle = 0xffff0000;  // "ffff:", the kernel knows no other for ingress
constexpr uint32_t kPriority = 0x6875;           // also the mark by which husk knows its own filter again
// Asked before that: a priority is for one protocol.
constexpr uint32_t kBpfPriority = kPriority - 3, kArpPriority = kPriority - 2, kIpPriority = kPriority - 1;
constexpr int kFirstAction = 1;
constexpr uint32_t kDnsPort = 53;

NetlinkMessage qdisc(int type, int flags, int index) {
  tcmsg header{};
  header.tcm_family = AF_UNSPEC;
  header.tcm_ifindex = index;
  header.tcm_handle = kIngressHandle;
  header.tcm_parent = TC_H_INGRESS;
  NetlinkMessage message(type, flags, header);
  message.put(TCA_KIND, std::string("ingress"));
  return message;
}

void put_redirect(NetlinkMessage& message, int to, int eaction = TCA_EGRESS_REDIR,
                  int action = TC_ACT_STOLEN) {
  message.nest(kFirstAction, [&] {
    message.put(TCA_ACT_KIND, std::string("mirred"));
    message.nest(TCA_ACT_OPTIONS, [&] {
      tc_mirred redirect{};
      redirect.action = action;
      redirect.eaction = eaction;
      redirect.ifindex = static_cast<uint32_t>(to);
      message.put(TCA_MIRRED_PARMS, &redirect, sizeof(redirect));
    });
  });
}

NetlinkMessage filter(int from, const std::string& kind, uint32_t priority = kPriority,
                      uint16_t protocol = ETH_P_ALL) {
  tcmsg header{};
  header.tcm_family = AF_UNSPEC;
  header.tcm_ifindex = from;
  header.tcm_parent = kIngressHandle;
  header.tcm_info = TC_H_MAKE(priority << 16, htons(protocol));
  NetlinkMessage message(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, header);
  message.put(TCA_KIND, kind);
  return message;
}

NetlinkMessage matchall_filter(int from, int to) {
  NetlinkMessage message = filter(from, "matchall");
  message.nest(TCA_OPTIONS, [&] { message.nest(TCA_MATCHALL_ACT, [&] { put_redirect(message, to); }); });
  return message;
}

// Every key has to match: at an offset in the network header, in host byte order.
struct Key {
  int offset;
  uint32_t mask, value;
};

void put_selector(NetlinkMessage& message, const std::vector<Key>& keys) {
  tc_u32_sel selector{};
  selector.flags = TC_U32_TERMINAL;
  selector.nkeys = static_cast<unsigned char>(keys.size());
  std::vector<char> match(sizeof(tc_u32_sel) + keys.size() * sizeof(tc_u32_key));
  memcpy(match.data(), &selector, sizeof(selector));
  for (size_t i = 0; i < keys.size(); ++i) {
    tc_u32_key key{};
    key.off = keys[i].offset;
    key.mask = htonl(keys[i].mask);
    key.val = htonl(keys[i].value);
    memcpy(match.data() + sizeof(tc_u32_sel) + i * sizeof key, &key, sizeof key);
  }
  message.put(TCA_U32_SEL, match.data(), match.size());
}

NetlinkMessage u32_filter(int from, int to) {
  NetlinkMessage message = filter(from, "u32");
  message.nest(TCA_OPTIONS, [&] {
    put_selector(message, {{0, 0, 0}});  // a mask of 0: everything matches
    message.nest(TCA_U32_ACT, [&] { put_redirect(message, to); });
  });
  return message;
}

// What has no action goes on, to the host's stack.
NetlinkMessage dns_filter(int from, uint8_t protocol) {
  NetlinkMessage message = filter(from, "u32", kIpPriority, ETH_P_IP);
  message.nest(TCA_OPTIONS, [&] {
    put_selector(message, {{0, 0xff000000, 0x45000000},  // without IP options
                           {4, 0x1fff, 0},               // a first fragment
                           {8, 0xff0000, uint32_t{protocol} << 16},
                           {20, 0xffff0000 | kResolverPorts, kDnsPort << 16 | kResolverPorts}});
  });
  return message;
}

NetlinkMessage arp_filter(int from, int to) {
  NetlinkMessage message = filter(from, "u32", kArpPriority, ETH_P_ARP);
  message.nest(TCA_OPTIONS, [&] {
    put_selector(message, {{4, 0xffff, ARPOP_REPLY}});
    message.nest(TCA_U32_ACT, [&] { put_redirect(message, to, TCA_EGRESS_MIRROR, TC_ACT_OK); });
  });
  return message;
}

using FilterReply = NetlinkReply<tcmsg, TCA_MAX>;

void for_each_filter(NetlinkSocket& socket, int index, const std::function<void(const FilterReply&)>& f) {
  tcmsg header{};
  header.tcm_family = AF_UNSPEC;
  header.tcm_ifindex = index;
  header.tcm_parent = kIngressHandle;
  for (auto& bytes : socket.dump(RTM_GETTFILTER, header)) {
    const FilterReply reply(bytes);
    if (reply.valid() && reply.header().tcm_ifindex == index) f(reply);
  }
}

bool is_ours(const FilterReply& filter) {
  return TC_H_MAJ(filter.header().tcm_info) >> 16 == kPriority;
}

bool only_others_filters(NetlinkSocket& socket, int index) {
  bool any = false, ours = false;
  for_each_filter(socket, index, [&](const FilterReply& filter) {
    any = true;
    ours |= is_ours(filter);
  });
  return any && !ours;
}

nlattr* nested(const nlattr* outer, int attribute, int max) {
  std::vector<nlattr*> attributes(static_cast<size_t>(max) + 1);
  if (!outer || nla_parse_nested(attributes.data(), max, const_cast<nlattr*>(outer), nullptr) != 0)
    return nullptr;
  return attributes[static_cast<size_t>(attribute)];
}

// The index that the one action of our filter names; 0: none, or its interface is gone.
unsigned redirect_target(const FilterReply& filter) {
  const nlattr* options = filter.attribute(TCA_OPTIONS);
  const nlattr* actions = nested(options, TCA_MATCHALL_ACT, TCA_MATCHALL_MAX);
  const void* kind = filter.data(TCA_KIND, sizeof "u32");
  if (kind && memcmp(kind, "u32", sizeof "u32") == 0) actions = nested(options, TCA_U32_ACT, TCA_U32_MAX);
  const nlattr* action = nested(nested(actions, kFirstAction, kFirstAction), TCA_ACT_OPTIONS, TCA_ACT_MAX);
  const nlattr* parameters = nested(action, TCA_MIRRED_PARMS, TCA_MIRRED_MAX);
  tc_mirred redirect{};
  if (!parameters || static_cast<size_t>(nla_len(parameters)) < sizeof redirect) return 0;
  memcpy(&redirect, nla_data(parameters), sizeof redirect);
  return redirect.ifindex;
}

}  // namespace

void add_ingress(NetlinkSocket& socket, int index, const std::string& name) {
  const int errnum = socket.try_request(qdisc(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, index));
  if (errnum == EEXIST)
    throw Error(
        ErrorKind::kUnsupported,
        fmt::format("interface {} has an ingress (or clsact) qdisc already, which is not husk's: its traffic "
                    "cannot be redirected to the VM",
                    name),
        EEXIST);
  if (errnum != 0) socket.fail("add an ingress qdisc to interface " + name, errnum);
}

void redirect_ingress(NetlinkSocket& socket, int from, int to) {
  // matchall is the cheaper one; a kernel without it has u32, which is much older.
  const int errnum = socket.try_request(matchall_filter(from, to));
  if (errnum == ENOENT || errnum == EOPNOTSUPP)
    socket.request(u32_filter(from, to), "add a u32 filter");
  else if (errnum != 0)
    socket.fail("add a matchall filter", errnum);
}

void add_bpf_filter(NetlinkSocket& socket, int index, const std::vector<sock_filter>& program,
                    BpfResult result) {
  NetlinkMessage message = filter(index, "bpf", kBpfPriority);
  message.nest(TCA_OPTIONS, [&] {
    const auto length = static_cast<uint16_t>(program.size());
    message.put(TCA_BPF_OPS_LEN, &length, sizeof length);
    message.put(TCA_BPF_OPS, program.data(), program.size() * sizeof(sock_filter));
    if (result == BpfResult::kAction) message.put(TCA_BPF_FLAGS, uint32_t{TCA_BPF_FLAG_ACT_DIRECT});
  });
  socket.request(message, "add a bpf filter");
}

void pass_resolver(NetlinkSocket& socket, int from) {
  unsigned to = 0;
  bool done = false;
  for_each_filter(socket, from, [&](const FilterReply& filter) {
    if (is_ours(filter) && to == 0) to = redirect_target(filter);
    done |= TC_H_MAJ(filter.header().tcm_info) >> 16 == kArpPriority;
  });
  if (to == 0 || done) return;
  for (const uint8_t protocol : {IPPROTO_UDP, IPPROTO_TCP})
    socket.request(dns_filter(from, protocol), "let DNS answers through");
  socket.request(arp_filter(from, static_cast<int>(to)), "let ARP replies through");
}

bool redirects_to_tap(NetlinkSocket& socket, int index) {
  bool found = false;
  for_each_filter(socket, index, [&](const FilterReply& filter) {
    char name[IF_NAMESIZE];
    found |= is_ours(filter) && if_indextoname(redirect_target(filter), name) != nullptr;
  });
  return found;
}

int remove_ingress(NetlinkSocket& socket, int index) {
  if (only_others_filters(socket, index)) return 0;
  const int errnum = socket.try_request(qdisc(RTM_DELQDISC, 0, index));
  // The kernel says ENOENT, or EINVAL for a handle it does not know; ENODEV: the interface has gone
  // meanwhile.
  return errnum == ENOENT || errnum == EINVAL || errnum == ENODEV ? 0 : errnum;
}

}  // namespace husk::vm
