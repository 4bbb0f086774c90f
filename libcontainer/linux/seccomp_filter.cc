#include "libcontainer/linux/seccomp_filter.h"

#include <linux/filter.h>
#include <linux/seccomp.h>

#include <algorithm>
#include <cstddef>
#include <map>

#include "libcontainer/base/error.h"

namespace husk::filter {
namespace {

using Code = std::vector<sock_filter>;

constexpr uint32_t kX32Bit = 0x40000000;

sock_filter load(uint32_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset);
}
sock_filter ret(uint32_t action) {
  return BPF_STMT(BPF_RET | BPF_K, action);
}
sock_filter jump(unsigned op, uint32_t k, size_t yes, size_t no) {
  return BPF_JUMP(static_cast<uint16_t>(BPF_JMP | op | BPF_K), k, static_cast<uint8_t>(yes),
                  static_cast<uint8_t>(no));
}

void append(Code& to, const Code& from) {
  to.insert(to.end(), from.begin(), from.end());
}

// Falls through where the condition holds, else skips `rest` more instructions after itself. seccomp_data's
// arguments are 64 bits wide, BPF's registers 32: high half first.
Code test(const Condition& c, size_t rest) {
  uint32_t low = static_cast<uint32_t>(offsetof(seccomp_data, args) + 8 * c.index), high = low + 4;
  auto h = static_cast<uint32_t>(c.value >> 32), l = static_cast<uint32_t>(c.value);
  switch (c.op) {
    case Op::kEq:
      return {load(high), jump(BPF_JEQ, h, 0, 2 + rest), load(low), jump(BPF_JEQ, l, 0, rest)};
    case Op::kNe:
      return {load(high), jump(BPF_JEQ, h, 0, 2), load(low), jump(BPF_JEQ, l, rest, 0)};
    case Op::kGt:
    case Op::kGe:
      return {load(high), jump(BPF_JGT, h, 3, 0), jump(BPF_JEQ, h, 0, 2 + rest), load(low),
              jump(c.op == Op::kGt ? BPF_JGT : BPF_JGE, l, 0, rest)};
    case Op::kLe:
    case Op::kLt:
      return {load(high), jump(BPF_JGT, h, 3 + rest, 0), jump(BPF_JEQ, h, 0, 2), load(low),
              jump(c.op == Op::kLe ? BPF_JGT : BPF_JGE, l, rest, 0)};
    case Op::kMaskedEq: {
      uint64_t wanted = c.value_two & c.value;
      return {load(high),
              BPF_STMT(BPF_ALU | BPF_AND | BPF_K, h),
              jump(BPF_JEQ, static_cast<uint32_t>(wanted >> 32), 0, 3 + rest),
              load(low),
              BPF_STMT(BPF_ALU | BPF_AND | BPF_K, l),
              jump(BPF_JEQ, static_cast<uint32_t>(wanted), 0, rest)};
    }
  }
  return {};
}

// The lower, the severer: SECCOMP_RET_KILL_PROCESS is negative.
int32_t severity(uint32_t action) {
  return static_cast<int32_t>(action & SECCOMP_RET_ACTION_FULL);
}

// What one system call comes to.
struct Verdict {
  bool plain = false;
  uint32_t action = 0;      // plain
  std::vector<Rule> rules;  // else, severest first
  bool operator==(const Verdict& o) const { return plain && o.plain && action == o.action; }
};

Code code_of(const Verdict& v, uint32_t default_action) {
  if (v.plain) return {ret(v.action)};
  Code out;
  for (const Rule& rule : v.rules) {
    Code code = {ret(rule.action)};
    for (auto c = rule.conditions.rbegin(); c != rule.conditions.rend(); ++c) {
      Code before = test(*c, code.size());
      append(before, code);
      code = std::move(before);
    }
    append(out, code);
  }
  out.push_back(ret(default_action));
  return out;
}

// System calls from `start` to the next range's start.
struct Range {
  uint32_t start;
  Verdict verdict;
};

// The number is in A: a binary tree of comparisons.
Code search(const std::vector<Range>& ranges, size_t first, size_t last, uint32_t default_action) {
  if (last - first == 1) return code_of(ranges[first].verdict, default_action);
  size_t middle = first + (last - first) / 2;
  Code left = search(ranges, first, middle, default_action),
       right = search(ranges, middle, last, default_action);
  Code out;
  if (left.size() <= 255) {
    out = {jump(BPF_JGE, ranges[middle].start, left.size(), 0)};
  } else {
    out = {jump(BPF_JGE, ranges[middle].start, 0, 1),
           BPF_STMT(BPF_JMP | BPF_JA, static_cast<uint32_t>(left.size()))};
  }
  append(out, left);
  append(out, right);
  return out;
}

std::map<uint32_t, Verdict> verdicts(const Architecture& arch) {
  std::map<uint32_t, Verdict> out;
  for (const Rule& rule : arch.rules) {
    Verdict& v = out[rule.nr];
    if (v.plain) continue;
    if (rule.conditions.empty()) {
      v = {true, rule.action, {}};
    } else {
      v.rules.push_back(rule);
    }
  }
  for (auto& [nr, v] : out)
    std::stable_sort(v.rules.begin(), v.rules.end(),
                     [](const Rule& a, const Rule& b) { return severity(a.action) < severity(b.action); });
  return out;
}

// Number in A → an action, for one architecture.
Code section(const Architecture& arch, uint32_t default_action, uint32_t newer_action) {
  const Verdict otherwise{true, default_action, {}};
  std::vector<Range> ranges = {{0, otherwise}};
  auto add = [&](uint32_t start, const Verdict& v) {
    if (ranges.back().start == start)
      ranges.back().verdict = v;
    else if (!(ranges.back().verdict == v))
      ranges.push_back({start, v});
  };
  uint32_t next = 0;
  for (const auto& [nr, v] : verdicts(arch)) {
    if (nr != next) add(next, otherwise);
    add(nr, v);
    next = nr + 1;
  }
  add(next, {true, next ? newer_action : default_action, {}});
  return search(ranges, 0, ranges.size(), default_action);
}

}  // namespace

std::string compile(const std::vector<Architecture>& architectures, uint32_t default_action,
                    uint32_t newer_action) {
  const Architecture* x32 = nullptr;
  for (const Architecture& arch : architectures)
    if (arch.x32) x32 = &arch;
  Code program = {load(offsetof(seccomp_data, arch))};
  for (const Architecture& arch : architectures) {
    if (arch.x32) continue;
    Code code = {load(offsetof(seccomp_data, nr))};
    if (arch.token ==
        0xC000003E) {  // AUDIT_ARCH_X86_64; -1 is a tracer's way to skip a call and belongs to nobody
      Code high = {jump(BPF_JEQ, 0xffffffff, 0, 1), ret(default_action)};
      append(high, x32 ? section(*x32, default_action, newer_action) : Code{ret(SECCOMP_RET_KILL_THREAD)});
      code.push_back(jump(BPF_JGE, kX32Bit, 0, 1));
      code.push_back(BPF_STMT(BPF_JMP | BPF_JA, 0));
      size_t hop = code.size() - 1;
      Code low = section(arch, default_action, newer_action);
      code[hop].k = static_cast<uint32_t>(low.size());
      append(code, low);
      append(code, high);
    } else {
      append(code, section(arch, default_action, newer_action));
    }
    program.push_back(jump(BPF_JEQ, arch.token, 1, 0));
    program.push_back(BPF_STMT(BPF_JMP | BPF_JA, static_cast<uint32_t>(code.size())));
    append(program, code);
  }
  program.push_back(ret(SECCOMP_RET_KILL_THREAD));
  if (program.size() > BPF_MAXINSNS) throw Error(ErrorKind::kInvalid, "seccomp: the profile is too large");
  return std::string(reinterpret_cast<const char*>(program.data()), program.size() * sizeof(sock_filter));
}

}  // namespace husk::filter
