// A small compiler for allow-lists. libseccomp takes 30 ms for an engine's default profile (and some hundred
// in a guest that is emulated), this one less than one. Internal to seccomp.cc.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace husk::filter {

// One condition on an argument, libseccomp's operators: LT, LE, EQ, GE, GT, NE, MASKED_EQ (value is the mask
// then).
enum class Op { kNe, kLt, kLe, kEq, kGe, kGt, kMaskedEq };
struct Condition {
  unsigned index;
  Op op;
  uint64_t value, value_two;
};

struct Rule {
  uint32_t nr;
  uint32_t action;                    // SECCOMP_RET_…
  std::vector<Condition> conditions;  // all have to hold
};

struct Architecture {
  uint32_t token;           // AUDIT_ARCH_… as the kernel gives it
  bool x32;                 // shares x86_64's token; its numbers have bit 30
  std::vector<Rule> rules;  // in the profile's order
};

// Little-endian architectures only. For one system call: the first rule without conditions decides;
// otherwise, of those that match, the one with the severest action. What is newer than everything the profile
// knows gets `newer_action` instead of the default.
std::string compile(const std::vector<Architecture>& architectures, uint32_t default_action,
                    uint32_t newer_action);

}  // namespace husk::filter
