// One instruction of an eBPF program (Documentation/bpf/instruction-set.rst), as linux/bpf.h lays it out.
#pragma once

#include <linux/bpf.h>

namespace husk {

constexpr bpf_insn insn(int code, int dst, int src, int off, int imm) {
  bpf_insn i{};
  i.code = static_cast<__u8>(code);
  i.dst_reg = static_cast<__u8>(dst) & 0xf;
  i.src_reg = static_cast<__u8>(src) & 0xf;
  i.off = static_cast<__s16>(off);
  i.imm = imm;
  return i;
}

}  // namespace husk
