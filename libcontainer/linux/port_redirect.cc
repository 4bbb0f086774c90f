#include "libcontainer/linux/port_redirect.h"

#include <arpa/inet.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/bpf.h"

namespace husk {
namespace {

// Where from == the port in the context, it becomes `to`: if namespace, protocol and address are ours, too.
std::vector<bpf_insn> program(const PortRedirect& redirect, uint16_t from, uint16_t to) {
  std::vector<bpf_insn> out;
  std::vector<size_t> skips;  // jumps to the end
  const auto skip_unless = [&](size_t field, uint32_t value) {
    out.push_back(insn(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_6, static_cast<int>(field), 0));
    skips.push_back(out.size());
    out.push_back(insn(BPF_JMP32 | BPF_JNE | BPF_K, BPF_REG_2, 0, 0, static_cast<int>(value)));
  };
  out.push_back(insn(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_6, BPF_REG_1, 0, 0));
  out.push_back(insn(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_get_netns_cookie));
  // A constant of 64 bits takes two instructions (BPF_IMM is 0).
  out.push_back(insn(BPF_LD | BPF_DW, BPF_REG_1, 0, 0, static_cast<int>(redirect.netns_cookie)));
  out.push_back(insn(0, 0, 0, 0, static_cast<int>(redirect.netns_cookie >> 32)));
  skips.push_back(out.size());
  out.push_back(insn(BPF_JMP | BPF_JNE | BPF_X, BPF_REG_0, BPF_REG_1, 0, 0));
  skip_unless(offsetof(bpf_sock_addr, protocol), static_cast<uint32_t>(redirect.protocol));
  skip_unless(offsetof(bpf_sock_addr, user_ip4), htonl(redirect.address));
  skip_unless(offsetof(bpf_sock_addr, user_port), htons(from));
  out.push_back(insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_2, 0, 0, htons(to)));
  out.push_back(insn(BPF_STX | BPF_MEM | BPF_W, BPF_REG_6, BPF_REG_2, offsetof(bpf_sock_addr, user_port), 0));
  for (size_t at : skips) out[at].off = static_cast<__s16>(out.size() - at - 1);
  out.push_back(insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, 1));  // go on
  out.push_back(insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
  return out;
}

UniqueFd bpf(int command, bpf_attr& attr, const char* what) {
  UniqueFd fd(static_cast<int>(syscall(SYS_bpf, command, &attr, sizeof attr)));
  if (fd) return fd;
  if (errno == ENOSYS || errno == EINVAL)
    throw Error(ErrorKind::kUnsupported,
                std::string(what) + ": the kernel has no such eBPF programs (CONFIG_CGROUP_BPF)", errno);
  throw_errno(what);
}

UniqueFd attach(int cgroup, bpf_attach_type type, const std::vector<bpf_insn>& program) {
  static const char kLicense[] = "Apache-2.0";
  bpf_attr load{};
  load.prog_type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR;
  load.expected_attach_type = type;
  load.insns = reinterpret_cast<uintptr_t>(program.data());
  load.insn_cnt = static_cast<__u32>(program.size());
  load.license = reinterpret_cast<uintptr_t>(kLicense);
  const UniqueFd loaded = bpf(BPF_PROG_LOAD, load, "loading a port's redirection");
  bpf_attr link{};
  link.link_create.prog_fd = static_cast<__u32>(loaded.get());
  link.link_create.target_fd = static_cast<__u32>(cgroup);
  link.link_create.attach_type = type;
  return bpf(BPF_LINK_CREATE, link, "attaching a port's redirection");
}

}  // namespace

std::vector<UniqueFd> redirect_port(const std::string& cgroup_folder, const PortRedirect& redirect) {
  const UniqueFd cgroup = open_file(cgroup_folder, O_RDONLY | O_DIRECTORY);
  const std::vector<bpf_insn> there = program(redirect, redirect.port, redirect.to);
  const std::vector<bpf_insn> back = program(redirect, redirect.to, redirect.port);
  std::vector<UniqueFd> links;
  links.push_back(attach(cgroup.get(), BPF_CGROUP_INET4_CONNECT, there));
  links.push_back(attach(cgroup.get(), BPF_CGROUP_INET4_GETPEERNAME, back));
  if (redirect.protocol != IPPROTO_UDP) return links;
  links.push_back(attach(cgroup.get(), BPF_CGROUP_UDP4_SENDMSG, there));
  links.push_back(attach(cgroup.get(), BPF_CGROUP_UDP4_RECVMSG, back));
  return links;
}

}  // namespace husk
