// Device rules: v1's whitelist files, v2's eBPF program (include/uapi/linux/bpf.h,
// BPF_PROG_TYPE_CGROUP_DEVICE).
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/linux/bpf.h"
#include "libcontainer/linux/cgroups_files.h"

namespace husk {
namespace {

constexpr int64_t kAny = -1;
constexpr int kAllAccess = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE;

// A rule checked and with its defaults filled in. type: 'a', 'b' or 'c'.
struct Rule {
  bool allow;
  char type;
  int64_t major, minor;
  int access;
  bool everything() const { return type == 'a' && major == kAny && minor == kAny && access == kAllAccess; }
};

int parse_access(std::string_view text) {
  int access = 0;
  for (char c : text) {
    if (c == 'r')
      access |= BPF_DEVCG_ACC_READ;
    else if (c == 'w')
      access |= BPF_DEVCG_ACC_WRITE;
    else if (c == 'm')
      access |= BPF_DEVCG_ACC_MKNOD;
    else
      throw Error(ErrorKind::kInvalid, "device rule: access \"" + printable(text) + "\" is not of \"rwm\"");
  }
  return access ? access : kAllAccess;
}

std::string access_text(int access) {
  std::string text;
  if (access & BPF_DEVCG_ACC_READ) text += 'r';
  if (access & BPF_DEVCG_ACC_WRITE) text += 'w';
  if (access & BPF_DEVCG_ACC_MKNOD) text += 'm';
  return text;
}

Rule parse_rule(const spec::DeviceCgroup& d) {
  Rule rule{d.allow, 'a', d.major.value_or(kAny), d.minor.value_or(kAny), parse_access(d.access)};
  if (d.type == "b" || d.type == "c")
    rule.type = d.type[0];
  else if (d.type == "u")
    rule.type = 'c';
  else if (!d.type.empty() && d.type != "a")
    throw Error(ErrorKind::kInvalid, "device rule: type \"" + printable(d.type) + "\" is not a, b or c");
  // Larger numbers do not exist (MINORBITS is 20), and would not fit an instruction.
  for (int64_t n : {rule.major, rule.minor})
    if (n < kAny || n > INT32_MAX)
      throw Error(ErrorKind::kInvalid, "device rule: no device has number " + std::to_string(n));
  return rule;
}

// {type, major, minor} → access, in the order of the rules. With `allow` false it lists what is allowed, else
// what is denied.
struct DeviceList {
  using Key = std::tuple<char, int64_t, int64_t>;
  bool allow = false;
  std::vector<std::pair<Key, int>> exceptions;

  int& operator[](const Key& key) {
    for (auto& [known, access] : exceptions)
      if (known == key) return access;
    return exceptions.emplace_back(key, 0).second;
  }
};

std::string line(const DeviceList::Key& key, int access) {
  auto [type, major, minor] = key;
  auto text = [](int64_t n) { return n == kAny ? std::string("*") : std::to_string(n); };
  return std::string(1, type) + " " + text(major) + ":" + text(minor) + " " + access_text(access);
}

bool covers(int64_t outer, int64_t inner) {
  return outer == kAny || outer == inner;
}

// Whatever matches the inner rule has been decided by the outer one, which is asked before it.
bool decides_for(const Rule& outer, const Rule& inner) {
  return (outer.type == 'a' || outer.type == inner.type) && covers(outer.major, inner.major) &&
         covers(outer.minor, inner.minor) && (inner.access & ~outer.access) == 0;
}

void add_rule(DeviceList& list, const Rule& rule) {
  if (rule.type == 'a') {
    // To v1's files "a" means everything, whatever follows it.
    for (char type : {'b', 'c'}) add_rule(list, Rule{rule.allow, type, rule.major, rule.minor, rule.access});
    return;
  }
  if (rule.allow != list.allow) {
    list[{rule.type, rule.major, rule.minor}] |= rule.access;
    return;
  }
  for (auto it = list.exceptions.begin(); it != list.exceptions.end();) {
    auto [type, major, minor] = it->first;
    bool hit = type == rule.type && (it->second & rule.access);
    if (hit && covers(rule.major, major) && covers(rule.minor, minor)) {
      it->second &= ~rule.access;
    } else if (hit && (covers(major, rule.major) || rule.major == kAny) &&
               (covers(minor, rule.minor) || rule.minor == kAny)) {
      throw Error(ErrorKind::kUnsupported,
                  "device rule \"" + line({rule.type, rule.major, rule.minor}, rule.access) +
                      "\": cgroup v1 cannot take a part out of \"" + line(it->first, it->second) + "\"");
    }
    it = it->second ? std::next(it) : list.exceptions.erase(it);
  }
}

DeviceList target_list(const std::vector<spec::DeviceCgroup>& rules) {
  DeviceList list;
  for (const spec::DeviceCgroup& d : rules) {
    Rule rule = parse_rule(d);
    if (rule.everything())
      list = DeviceList{rule.allow, {}};
    else
      add_rule(list, rule);
  }
  return list;
}

// devices.list; while everything is allowed it does not show the exceptions.
DeviceList parse_list(std::string_view text) {
  DeviceList list;
  for (std::string_view row : cgroup::split(text, '\n')) {
    std::vector<std::string_view> fields = cgroup::split(row, ' ');
    size_t colon = fields.size() == 3 ? fields[1].find(':') : row.npos;
    if (colon == row.npos) continue;
    if (fields[0] == "a") return DeviceList{true, {}};
    auto n = [](std::string_view t) { return t == "*" ? kAny : static_cast<int64_t>(cgroup::number(t)); };
    list[{fields[0][0], n(fields[1].substr(0, colon)), n(fields[1].substr(colon + 1))}] |=
        parse_access(fields[2]);
  }
  return list;
}

// Registers: 2 the accesses still to be decided, 3 type, 4 major, 5 minor.
void emit_return(std::vector<bpf_insn>& out, bool allow) {
  out.push_back(insn(BPF_ALU64 | BPF_MOV | BPF_K, BPF_REG_0, 0, 0, allow));
  out.push_back(insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
}

void emit_rule(std::vector<bpf_insn>& out, const Rule& rule) {
  std::vector<size_t> skips;  // jumps to the end of this rule
  auto skip_unless = [&](int reg, int64_t value) {
    skips.push_back(out.size());
    out.push_back(insn(BPF_JMP | BPF_JNE | BPF_K, reg, 0, 0, static_cast<int>(value)));
  };
  if (rule.type != 'a') skip_unless(BPF_REG_3, rule.type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
  if (rule.major != kAny) skip_unless(BPF_REG_4, rule.major);
  if (rule.minor != kAny) skip_unless(BPF_REG_5, rule.minor);
  if (rule.access != kAllAccess) {
    if (rule.allow) {
      out.push_back(insn(BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_2, 0, 0, ~rule.access & kAllAccess));
      skip_unless(BPF_REG_2, 0);
    } else {
      out.push_back(insn(BPF_JMP | BPF_JSET | BPF_K, BPF_REG_2, 0, 1, rule.access));
      skips.push_back(out.size());
      out.push_back(insn(BPF_JMP | BPF_JA, 0, 0, 0, 0));
    }
  }
  emit_return(out, rule.allow);
  for (size_t at : skips) out[at].off = static_cast<__s16>(out.size() - at - 1);
}

int bpf(int command, bpf_attr& attr) {
  return static_cast<int>(syscall(SYS_bpf, command, &attr, sizeof attr));
}

UniqueFd load_program(const std::vector<bpf_insn>& program) {
  static const char kLicense[] = "Apache-2.0";
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = reinterpret_cast<uintptr_t>(program.data());
  attr.insn_cnt = static_cast<__u32>(program.size());
  attr.license = reinterpret_cast<uintptr_t>(kLicense);
  UniqueFd fd(bpf(BPF_PROG_LOAD, attr));
  if (fd) return fd;
  int err = errno;
  // Without CONFIG_CGROUP_BPF the program type is unknown: EINVAL.
  if (err == ENOSYS || err == EINVAL)
    throw Error(ErrorKind::kUnsupported, "the kernel has no eBPF device programs (CONFIG_CGROUP_BPF)", err);
  throw_errno("load the device program", err);
}

// Loaded ones are kept: most containers ask for the same, and verifying it again costs more than the rest of
// a cgroup.
std::shared_ptr<UniqueFd> loaded_program(const std::vector<spec::DeviceCgroup>& rules) {
  static constexpr size_t kMost = 8;
  static std::mutex mutex;
  static std::list<std::pair<std::vector<bpf_insn>, std::shared_ptr<UniqueFd>>> programs;  // the latest first
  std::vector<bpf_insn> wanted = cgroup::device_program(rules);
  std::lock_guard lock(mutex);
  for (const auto& [program, fd] : programs)
    if (program.size() == wanted.size() &&
        memcmp(program.data(), wanted.data(), wanted.size() * sizeof(bpf_insn)) == 0)
      return fd;
  auto fd = std::make_shared<UniqueFd>(load_program(wanted));
  programs.emplace_front(std::move(wanted), fd);
  if (programs.size() > kMost) programs.pop_back();
  return fd;
}

std::vector<__u32> attached_programs(int group) {
  std::array<__u32, 64> ids{};
  bpf_attr attr{};
  attr.query.target_fd = static_cast<__u32>(group);
  attr.query.attach_type = BPF_CGROUP_DEVICE;
  attr.query.prog_ids = reinterpret_cast<uintptr_t>(ids.data());
  attr.query.prog_cnt = ids.size();
  check(bpf(BPF_PROG_QUERY, attr), "ask for the attached device programs");
  return {ids.begin(), ids.begin() + attr.query.prog_cnt};
}

__u32 program_id(int program) {
  bpf_prog_info info{};
  bpf_attr attr{};
  attr.info.bpf_fd = static_cast<__u32>(program);
  attr.info.info_len = sizeof info;
  attr.info.info = reinterpret_cast<uintptr_t>(&info);
  check(bpf(BPF_OBJ_GET_INFO_BY_FD, attr), "ask for a device program's id");
  return info.id;
}

void detach_programs(int group, const std::vector<__u32>& ids) {
  for (__u32 id : ids) {
    bpf_attr attr{};
    attr.prog_id = id;
    UniqueFd program(bpf(BPF_PROG_GET_FD_BY_ID, attr));
    if (!program && errno == ENOENT) continue;
    if (!program) throw_errno("open an attached device program");
    attr = {};
    attr.target_fd = static_cast<__u32>(group);
    attr.attach_bpf_fd = static_cast<__u32>(program.get());
    attr.attach_type = BPF_CGROUP_DEVICE;
    if (bpf(BPF_PROG_DETACH, attr) != 0 && errno != ENOENT) throw_errno("detach an old device program");
  }
}

void replace_programs(const std::string& folder, const std::vector<spec::DeviceCgroup>& rules) {
  UniqueFd group = open_file(folder, O_RDONLY | O_DIRECTORY);
  std::shared_ptr<UniqueFd> program = loaded_program(rules);
  std::vector<__u32> old = attached_programs(group.get());
  if (!old.empty() && std::erase(old, program_id(program->get())))
    return detach_programs(group.get(), old);  // it is attached already
  auto attach = [&] {
    bpf_attr attr{};
    attr.target_fd = static_cast<__u32>(group.get());
    attr.attach_bpf_fd = static_cast<__u32>(program->get());
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    return bpf(BPF_PROG_ATTACH, attr);
  };
  // All attached programs have to agree, so there is no moment without rules.
  if (attach() == 0) return detach_programs(group.get(), old);
  // EPERM: somebody attached one that tolerates no other.
  if (errno != EPERM || old.empty()) throw_errno("attach the device program to " + folder);
  detach_programs(group.get(), old);
  check(attach(), "attach the device program to " + folder);
}

}  // namespace

namespace cgroup {

std::vector<std::pair<std::string, std::string>> device_writes(const std::vector<spec::DeviceCgroup>& rules,
                                                               std::string_view current) {
  constexpr const char* kAllow = "devices.allow";
  constexpr const char* kDeny = "devices.deny";
  DeviceList target = target_list(rules), now = parse_list(current);
  std::vector<std::pair<std::string, std::string>> writes;
  if (now.allow || target.allow) {
    writes.emplace_back(target.allow ? kAllow : kDeny, "a");
    now = DeviceList{target.allow, {}};
  }
  // An update must not take away for a moment what stays allowed: new ones first, then those no longer
  // wanted.
  for (const auto& [key, access] : target.exceptions)
    if (int more = access & ~now[key]) writes.emplace_back(target.allow ? kDeny : kAllow, line(key, more));
  for (const auto& [key, access] : now.exceptions) {
    if (int less = access & ~target[key]) writes.emplace_back(kDeny, line(key, less));
  }
  return writes;
}

std::vector<bpf_insn> device_program(const std::vector<spec::DeviceCgroup>& rules) {
  std::vector<bpf_insn> out = {
      // struct bpf_cgroup_dev_ctx: access << 16 | type, major, minor
      insn(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_2, BPF_REG_1, offsetof(bpf_cgroup_dev_ctx, access_type), 0),
      insn(BPF_ALU64 | BPF_MOV | BPF_X, BPF_REG_3, BPF_REG_2, 0, 0),
      insn(BPF_ALU64 | BPF_AND | BPF_K, BPF_REG_3, 0, 0, 0xffff),
      insn(BPF_ALU64 | BPF_RSH | BPF_K, BPF_REG_2, 0, 0, 16),
      insn(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_4, BPF_REG_1, offsetof(bpf_cgroup_dev_ctx, major), 0),
      insn(BPF_LDX | BPF_MEM | BPF_W, BPF_REG_5, BPF_REG_1, offsetof(bpf_cgroup_dev_ctx, minor), 0),
  };
  std::vector<Rule> parsed, asked;
  for (const spec::DeviceCgroup& d : rules) parsed.push_back(parse_rule(d));
  // The last match wins, so it is asked first.
  for (auto rule = parsed.rbegin(); rule != parsed.rend(); ++rule) {
    if (std::any_of(asked.begin(), asked.end(), [&](const Rule& r) { return decides_for(r, *rule); }))
      continue;
    emit_rule(out, *rule);
    // The verifier refuses code that cannot be reached.
    if (rule->everything()) return out;
    asked.push_back(*rule);
  }
  emit_return(out, false);
  return out;
}

}  // namespace cgroup

void Cgroup::apply_devices(const std::vector<spec::DeviceCgroup>& rules) {
  if (rules.empty()) return;
  refuse_root("restrict the devices of");
  if (const Hierarchy* v1 = find("devices")) {
    std::optional<std::string> current = cgroup::read_control(v1->folder, "devices.list");
    if (!current) throw Error(ErrorKind::kNotFound, "no cgroup " + v1->folder, ENOENT);
    for (const auto& [file, text] : cgroup::device_writes(rules, *current))
      if (int err = cgroup::try_write_control(v1->folder, file, text))
        cgroup::throw_write(v1->folder, file, text, err);
    return;
  }
  const Hierarchy* v2 = unified();
  if (!v2) throw Error(ErrorKind::kUnsupported, "no cgroup hierarchy can restrict devices");
  replace_programs(v2->folder, rules);
}

std::vector<std::string> Cgroup::apply_container_devices(std::vector<spec::DeviceCgroup> rules) {
  try {
    apply_devices(with_default_rules(std::move(rules)));
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kUnsupported && e.errnum() != ENOSYS && e.errnum() != EOPNOTSUPP) throw;
    return {std::string("device rules are not enforced: ") + e.what()};
  }
  return {};
}

bool allows_only_defaults(const std::vector<spec::DeviceCgroup>& rules) {
  if (rules.empty() || rules[0].allow || !parse_rule(rules[0]).everything()) return false;
  std::vector<Rule> defaults;
  if (rules.size() > 1)
    for (const spec::DeviceCgroup& rule : default_device_rules()) defaults.push_back(parse_rule(rule));
  return std::all_of(rules.begin(), rules.end(), [&](const spec::DeviceCgroup& d) {
    const Rule rule = parse_rule(d);
    return !rule.allow || std::any_of(defaults.begin(), defaults.end(),
                                      [&](const Rule& outer) { return decides_for(outer, rule); });
  });
}

}  // namespace husk
