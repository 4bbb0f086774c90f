// One rtnetlink conversation with the kernel: libnl builds and parses the messages, this keeps errno and the
// kernel's own sentence (extended ack), which libnl's error codes lose. See rtnetlink(7).
#pragma once

#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/socket.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace husk {

class NetlinkMessage {
 public:
  // type: RTM_*; flags: NLM_F_* beside REQUEST and ACK; header: ifinfomsg, ifaddrmsg, rtmsg, ndmsg or tcmsg.
  template <typename Header>
  NetlinkMessage(int type, int flags, const Header& header) : NetlinkMessage(type, flags) {
    append(&header, sizeof(header));
  }

  void put(int attribute, const void* data, size_t size);
  void put(int attribute, uint32_t value) { put(attribute, &value, sizeof(value)); }
  void put(int attribute, const std::string& text) { put(attribute, text.c_str(), text.size() + 1); }

  // Everything that `fill` puts goes inside one attribute.
  template <typename F>
  void nest(int attribute, F&& fill) {
    nlattr* start = begin_nest(attribute);
    fill();
    nla_nest_end(message_.get(), start);
  }

  nl_msg* get() const { return message_.get(); }

 private:
  NetlinkMessage(int type, int flags);
  void append(const void* data, size_t size);
  nlattr* begin_nest(int attribute);

  struct Free {
    void operator()(nl_msg* message) const { nlmsg_free(message); }
  };
  std::unique_ptr<nl_msg, Free> message_;
};

// A message of the kernel's, copied: header of type Header, and its attributes by number.
template <typename Header, int kMax>
class NetlinkReply {
 public:
  explicit NetlinkReply(std::vector<char>& bytes) {
    auto* message = reinterpret_cast<nlmsghdr*>(bytes.data());
    valid_ = nlmsg_parse(message, sizeof(Header), attributes_, kMax, nullptr) == 0;
    if (valid_) header_ = static_cast<const Header*>(nlmsg_data(message));
  }
  bool valid() const { return valid_; }
  const Header& header() const { return *header_; }
  // Null when it is absent or shorter than `size`.
  const void* data(int attribute, size_t size) const {
    const nlattr* a = attributes_[attribute];
    return a && static_cast<size_t>(nla_len(a)) >= size ? nla_data(a) : nullptr;
  }
  uint32_t u32(int attribute, uint32_t otherwise = 0) const {
    const void* bytes = data(attribute, sizeof(uint32_t));
    if (bytes) memcpy(&otherwise, bytes, sizeof(otherwise));
    return otherwise;
  }
  const nlattr* attribute(int number) const { return attributes_[number]; }

 private:
  nlattr* attributes_[kMax + 1] = {};
  const Header* header_ = nullptr;
  bool valid_ = false;
};

// Belongs to the network namespace of the thread that made it. The kernel answers within send(), so no wait
// here is long.
class NetlinkSocket {
 public:
  NetlinkSocket();  // throws

  // Sends and takes the acknowledgement. Throws "what: errno (the kernel's sentence)".
  void request(const NetlinkMessage& message, std::string_view what);
  // The same; returns the errno instead, 0 for success. A message is sent once only (it has its number by
  // then).
  int try_request(const NetlinkMessage& message);
  // What request() throws, for an errno that try_request() has just returned.
  [[noreturn]] void fail(std::string_view what, int errnum) const;
  // All answers to a dump request, each a whole message with its nlmsghdr.
  std::vector<std::vector<char>> dump(int type, int family);
  // The same with the header that narrows it down.
  template <typename Header>
  std::vector<std::vector<char>> dump(int type, const Header& header) requires
      std::is_trivially_copyable_v<Header> && std::is_class_v<Header> {
    return dump_all(type, [&] { return NetlinkMessage(type, NLM_F_DUMP, header); });
  }

 private:
  std::vector<std::vector<char>> dump_all(int type, const std::function<NetlinkMessage()>& make);
  int send_and_receive(const NetlinkMessage& message, bool dump, std::vector<std::vector<char>>* answers);

  struct Free {
    void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  };
  std::unique_ptr<nl_sock, Free> socket_;
  std::string kernel_says_;  // of the last error, may be empty
};

// The kernel makes no IPv6 link-local address for the interface by itself, and has nothing to say there
// without one. Best effort: a kernel without IPv6 does not know the attribute.
void make_no_link_local(NetlinkSocket& socket, int index);

}  // namespace husk
