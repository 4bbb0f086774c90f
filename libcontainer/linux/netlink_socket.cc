#include "libcontainer/linux/netlink_socket.h"

#include <fmt/format.h>
#include <linux/rtnetlink.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <sys/socket.h>

#include <new>

#include "libcontainer/base/error.h"

namespace husk {
namespace {

constexpr int kDumpAttempts =
    8;  // the tables of a container's namespace hardly ever change while they are read

struct KernelError {
  int errnum = 0;
  std::string sentence;
};

// Called by libnl for an NLMSG_ERROR that is not an acknowledgement.
int keep_error(sockaddr_nl*, nlmsgerr* error, void* argument) {
  auto* kept = static_cast<KernelError*>(argument);
  kept->errnum = -error->error;
  // The attributes follow the error: NETLINK_CAP_ACK keeps our own request out of the answer.
  auto* message = reinterpret_cast<nlmsghdr*>(reinterpret_cast<char*>(error) - NLMSG_HDRLEN);
  nlattr* attributes[NLMSGERR_ATTR_MAX + 1] = {};
  if ((message->nlmsg_flags & NLM_F_ACK_TLVS) &&
      nlmsg_parse(message, sizeof(*error), attributes, NLMSGERR_ATTR_MAX, nullptr) == 0 &&
      attributes[NLMSGERR_ATTR_MSG])
    kept->sentence = printable(nla_get_string(attributes[NLMSGERR_ATTR_MSG]), 128);
  return NL_STOP;
}

// Copies, since an exception must not cross libnl's C frames on the way out of a real handler.
int keep_message(nl_msg* message, void* argument) {
  const nlmsghdr* header = nlmsg_hdr(message);
  const char* bytes = reinterpret_cast<const char*>(header);
  static_cast<std::vector<std::vector<char>>*>(argument)->emplace_back(bytes, bytes + header->nlmsg_len);
  return NL_OK;
}

int stop_at_ack(nl_msg*, void*) {
  return NL_STOP;
}

struct FreeCallbacks {
  void operator()(nl_cb* callbacks) const { nl_cb_put(callbacks); }
};

}  // namespace

NetlinkMessage::NetlinkMessage(int type, int flags) : message_(nlmsg_alloc_simple(type, flags)) {
  if (!message_) throw std::bad_alloc();
}

void NetlinkMessage::append(const void* data, size_t size) {
  if (nlmsg_append(message_.get(), const_cast<void*>(data), size, NLMSG_ALIGNTO) < 0) throw std::bad_alloc();
}

void NetlinkMessage::put(int attribute, const void* data, size_t size) {
  if (nla_put(message_.get(), attribute, static_cast<int>(size), data) < 0) throw std::bad_alloc();
}

nlattr* NetlinkMessage::begin_nest(int attribute) {
  nlattr* start = nla_nest_start(message_.get(), attribute);
  if (!start) throw std::bad_alloc();
  return start;
}

NetlinkSocket::NetlinkSocket() : socket_(nl_socket_alloc()) {
  if (!socket_) throw std::bad_alloc();
  if (const int error = nl_connect(socket_.get(), NETLINK_ROUTE); error < 0)
    throw Error(ErrorKind::kInternal, fmt::format("open an rtnetlink socket: {}", nl_geterror(error)));
  // Best effort: without them an error is an errno only.
  const int on = 1;
  if (setsockopt(nl_socket_get_fd(socket_.get()), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on)) == 0)
    setsockopt(nl_socket_get_fd(socket_.get()), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
}

int NetlinkSocket::send_and_receive(const NetlinkMessage& message, bool dump,
                                    std::vector<std::vector<char>>* answers) {
  KernelError error;
  std::unique_ptr<nl_cb, FreeCallbacks> callbacks(nl_cb_alloc(NL_CB_DEFAULT));
  if (!callbacks) throw std::bad_alloc();
  nl_cb_err(callbacks.get(), NL_CB_CUSTOM, keep_error, &error);
  nl_cb_set(callbacks.get(), NL_CB_ACK, NL_CB_CUSTOM, stop_at_ack, nullptr);
  if (answers) nl_cb_set(callbacks.get(), NL_CB_VALID, NL_CB_CUSTOM, keep_message, answers);
  kernel_says_.clear();
  int result = nl_send_auto(socket_.get(), message.get());
  if (result >= 0) result = nl_recvmsgs(socket_.get(), callbacks.get());
  if (result >= 0) return 0;
  if (dump && result == -NLE_DUMP_INTR) return EAGAIN;
  kernel_says_ = error.errnum ? error.sentence : nl_geterror(result);
  return error.errnum ? error.errnum : EIO;
}

int NetlinkSocket::try_request(const NetlinkMessage& message) {
  return send_and_receive(message, false, nullptr);
}

void NetlinkSocket::request(const NetlinkMessage& message, std::string_view what) {
  if (const int errnum = try_request(message)) fail(what, errnum);
}

void NetlinkSocket::fail(std::string_view what, int errnum) const {
  try {
    throw_errno(what, errnum);
  } catch (const Error& e) {
    if (kernel_says_.empty()) throw;
    throw Error(e.kind(), fmt::format("{} ({})", e.message(), kernel_says_), errnum);
  }
}

std::vector<std::vector<char>> NetlinkSocket::dump(int type, int family) {
  return dump(type,
              rtgenmsg{static_cast<unsigned char>(family)});  // does for every table when nothing is filtered
}

std::vector<std::vector<char>> NetlinkSocket::dump_all(int type,
                                                       const std::function<NetlinkMessage()>& make) {
  for (int attempt = 0; attempt < kDumpAttempts; ++attempt) {
    std::vector<std::vector<char>> answers;
    const int errnum = send_and_receive(make(), true, &answers);
    if (errnum == 0) return answers;
    if (errnum != EAGAIN) fail(fmt::format("rtnetlink dump {}", type), errnum);
  }
  throw Error(ErrorKind::kTimeout, "rtnetlink: the tables keep changing while they are read");
}

void make_no_link_local(NetlinkSocket& socket, int index) {
  ifinfomsg header{};
  header.ifi_index = index;
  NetlinkMessage message(RTM_NEWLINK, 0, header);
  message.nest(IFLA_AF_SPEC, [&] {
    message.nest(AF_INET6, [&] {
      const uint8_t mode = IN6_ADDR_GEN_MODE_NONE;
      message.put(IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof mode);
    });
  });
  (void)socket.try_request(message);
}

}  // namespace husk
