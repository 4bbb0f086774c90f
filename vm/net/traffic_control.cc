#include "vm/net/traffic_control.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "libcontainer/base/error.h"

namespace husk::vm {
namespace {

constexpr uint32_t kIngressHandle = 0xffff0000;  // "ffff:", the kernel knows no other for ingress
constexpr uint32_t kPriority = 0x6875;           // also the mark by which husk knows its own filter again
constexpr int kFirstAction = 1;

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

void put_redirect(NetlinkMessage& message, int to) {
  message.nest(kFirstAction, [&] {
    message.put(TCA_ACT_KIND, std::string("mirred"));
    message.nest(TCA_ACT_OPTIONS, [&] {
      tc_mirred redirect{};
      redirect.action = TC_ACT_STOLEN;
      redirect.eaction = TCA_EGRESS_REDIR;
      redirect.ifindex = static_cast<uint32_t>(to);
      message.put(TCA_MIRRED_PARMS, &redirect, sizeof(redirect));
    });
  });
}

NetlinkMessage filter(int from, const std::string& kind) {
  tcmsg header{};
  header.tcm_family = AF_UNSPEC;
  header.tcm_ifindex = from;
  header.tcm_parent = kIngressHandle;
  header.tcm_info = TC_H_MAKE(kPriority << 16, htons(ETH_P_ALL));
  NetlinkMessage message(RTM_NEWTFILTER, NLM_F_CREATE | NLM_F_EXCL, header);
  message.put(TCA_KIND, kind);
  return message;
}

NetlinkMessage matchall_filter(int from, int to) {
  NetlinkMessage message = filter(from, "matchall");
  message.nest(TCA_OPTIONS, [&] { message.nest(TCA_MATCHALL_ACT, [&] { put_redirect(message, to); }); });
  return message;
}

NetlinkMessage u32_filter(int from, int to) {
  tc_u32_sel selector{};
  selector.flags = TC_U32_TERMINAL;
  selector.nkeys = 1;
  // The selector ends in its keys. The only one has a mask of 0: everything matches.
  std::array<char, sizeof(tc_u32_sel) + sizeof(tc_u32_key)> match{};
  memcpy(match.data(), &selector, sizeof(selector));
  NetlinkMessage message = filter(from, "u32");
  message.nest(TCA_OPTIONS, [&] {
    message.put(TCA_U32_SEL, match.data(), match.size());
    message.nest(TCA_U32_ACT, [&] { put_redirect(message, to); });
  });
  return message;
}

bool only_others_filters(NetlinkSocket& socket, int index) {
  tcmsg header{};
  header.tcm_family = AF_UNSPEC;
  header.tcm_ifindex = index;
  header.tcm_parent = kIngressHandle;
  bool any = false;
  for (auto& bytes : socket.dump(RTM_GETTFILTER, header)) {
    const NetlinkReply<tcmsg, TCA_MAX> reply(bytes);
    if (!reply.valid() || reply.header().tcm_ifindex != index) continue;
    if (TC_H_MAJ(reply.header().tcm_info) >> 16 == kPriority) return false;
    any = true;
  }
  return any;
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

int remove_ingress(NetlinkSocket& socket, int index) {
  if (only_others_filters(socket, index)) return 0;
  const int errnum = socket.try_request(qdisc(RTM_DELQDISC, 0, index));
  // The kernel says ENOENT, or EINVAL for a handle it does not know; ENODEV: the interface has gone
  // meanwhile.
  return errnum == ENOENT || errnum == EINVAL || errnum == ENODEV ? 0 : errnum;
}

}  // namespace husk::vm
