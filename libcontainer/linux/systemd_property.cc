#include "libcontainer/linux/systemd_property.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "libcontainer/base/error.h"
#include "libcontainer/linux/cgroups_files.h"

namespace husk {
namespace {

using Json = nlohmann::json;
using Properties = std::vector<UnitProperty>;

constexpr uint64_t kInfinity = UINT64_MAX;  // systemd's "no limit"
constexpr std::string_view kAnnotation = "org.systemd.property.";

// linux.resources.unified speaks after the rest, and of the same things.
void put(Properties& out, const std::string& name, const char* signature, Json value) {
  std::erase_if(out, [&](const UnitProperty& p) { return p.name == name; });
  out.push_back({name, signature, std::move(value)});
}

void put_limit(Properties& out, const std::string& name, int64_t limit) {
  put(out, name, "t", limit < 0 ? kInfinity : static_cast<uint64_t>(limit));
}

std::optional<uint64_t> whole_number(std::string_view text) {
  uint64_t n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return n;
}

// "0-3,7" as a bitmap, the lowest CPU in the first byte's lowest bit. Nothing for what only the kernel can
// read.
std::optional<Json> bitmap(const std::string& list) {
  constexpr uint64_t kMost = 8192;
  std::vector<unsigned> bytes;
  for (std::string_view padded : cgroup::split(list, ',')) {
    const std::string_view part = cgroup::trim(padded);
    const size_t dash = part.find('-');
    const auto first = whole_number(part.substr(0, dash));
    const auto last = dash == part.npos ? first : whole_number(part.substr(dash + 1));
    if (!first || !last || *last < *first || *last >= kMost) return std::nullopt;
    bytes.resize(std::max<size_t>(bytes.size(), *last / 8 + 1));
    for (uint64_t n = *first; n <= *last; ++n) bytes[n / 8] |= 1u << (n % 8);
  }
  if (bytes.empty()) return std::nullopt;
  return Json(bytes);
}

void limit_sets(Properties& out, const std::string& cpus, const std::string& mems) {
  if (auto map = bitmap(cpus)) put(out, "AllowedCPUs", "ay", *map);
  if (auto map = bitmap(mems)) put(out, "AllowedMemoryNodes", "ay", *map);
}

// systemd keeps whole percents: rounded up, since the exact value must fit below.
uint64_t quota_per_second(uint64_t quota, uint64_t period) {
  constexpr uint64_t kSecond = 1'000'000, kPercent = kSecond / 100;
  if (quota / period >= kInfinity / kSecond / 2) return kInfinity;
  const uint64_t exact = quota / period * kSecond + (quota % period * kSecond + period - 1) / period;
  return (exact + kPercent - 1) / kPercent * kPercent;
}

void limit_bandwidth(Properties& out, int64_t quota, uint64_t period) {
  constexpr uint64_t kDefaultPeriod = 100'000;  // the kernel's, microseconds
  if (quota != 0)
    put(out, "CPUQuotaPerSecUSec", "t",
        quota < 0 ? kInfinity
                  : quota_per_second(static_cast<uint64_t>(quota), period ? period : kDefaultPeriod));
  if (period) put(out, "CPUQuotaPeriodUSec", "t", period);
}

void limit_cpu(Properties& out, const spec::CpuResources& cpu, bool v2) {
  const uint64_t shares = cpu.shares.value_or(0);
  if (shares && cpu.idle.value_or(0) != 1) {
    if (v2)
      put(out, "CPUWeight", "t", cgroup::shares_to_weight(shares));
    else
      put(out, "CPUShares", "t", std::clamp<uint64_t>(shares, 2, 262144));
  }
  limit_bandwidth(out, cpu.quota.value_or(0), cpu.period.value_or(0));
  if (v2) limit_sets(out, cpu.cpus, cpu.mems);
}

void limit_memory(Properties& out, const spec::MemoryResources& memory, bool v2) {
  const int64_t limit = memory.limit.value_or(0), swap = memory.swap.value_or(0);
  if (limit) put_limit(out, v2 ? "MemoryMax" : "MemoryLimit", limit);
  if (!v2) return;
  if (memory.reservation.value_or(0)) put_limit(out, "MemoryLow", *memory.reservation);
  // As Cgroup::apply: OCI's swap is memory and swap. What is wrong with the two, it says.
  if (swap < 0 || (swap == 0 && limit < 0))
    put_limit(out, "MemorySwapMax", -1);
  else if (limit > 0 && swap >= limit)
    put_limit(out, "MemorySwapMax", swap - limit);
}

// No number and -1 stand for all.
bool is_any(const std::optional<int64_t>& number) {
  return number.value_or(-1) < 0;
}

void limit_devices(Properties& out, const std::vector<spec::DeviceCgroup>& rules) {
  if (rules.empty()) return;
  bool everything = false;
  Json allowed = Json::array();
  for (const spec::DeviceCgroup& rule : rules) {
    const bool both = rule.type.empty() || rule.type == "a", any = is_any(rule.major) && is_any(rule.minor);
    const std::string access = rule.access.empty() ? "rwm" : rule.access;
    if (both && any && access.size() == 3) {
      everything = rule.allow;
      allowed.clear();
      continue;
    }
    if (!rule.allow) continue;
    for (const char* type : {"block", "char"}) {
      if (!both && (rule.type == "b") != (*type == 'b')) continue;
      std::string device = std::string(type) + "-" + (is_any(rule.major) ? "*" : std::to_string(*rule.major));
      if (!is_any(rule.major) && !is_any(rule.minor))
        device = std::string("/dev/") + type + "/" + std::to_string(*rule.major) + ":" +
                 std::to_string(*rule.minor);
      allowed.push_back({device, access});
    }
  }
  out.push_back({"DevicePolicy", "s", everything ? "auto" : "strict"});
  // A list adds to what is there; an empty one clears it.
  out.push_back({"DeviceAllow", "a(ss)", Json::array()});
  if (!everything && !allowed.empty()) out.push_back({"DeviceAllow", "a(ss)", std::move(allowed)});
}

uint64_t number_or_max(const std::string& key, std::string_view text) {
  text = cgroup::trim(text);
  if (text == "max") return kInfinity;
  if (auto n = whole_number(text)) return *n;
  throw Error(ErrorKind::kInvalid,
              "linux.resources.unified: " + key + ": \"" + printable(text, 80) + "\" is no number");
}

void limit_unified(Properties& out, const std::map<std::string, std::string>& values) {
  static const std::map<std::string, const char*> kNames = {
      {"cpu.weight", "CPUWeight"}, {"memory.high", "MemoryHigh"}, {"memory.low", "MemoryLow"},
      {"memory.max", "MemoryMax"}, {"memory.min", "MemoryMin"},   {"memory.swap.max", "MemorySwapMax"},
      {"pids.max", "TasksMax"}};
  for (const auto& [key, value] : values) {
    if (auto name = kNames.find(key); name != kNames.end()) {
      put(out, name->second, "t", number_or_max(key, value));
    } else if (key == "cpuset.cpus") {
      limit_sets(out, value, "");
    } else if (key == "cpuset.mems") {
      limit_sets(out, "", value);
    } else if (key == "cpu.max") {
      const auto fields = cgroup::split(cgroup::trim(value), ' ');
      if (fields.empty()) continue;
      const uint64_t quota = number_or_max(key, fields[0]);
      limit_bandwidth(out, quota > INT64_MAX ? -1 : static_cast<int64_t>(quota),
                      fields.size() > 1 ? number_or_max(key, fields[1]) : 0);
    }
  }
}

}  // namespace

std::vector<UnitProperty> unit_frame(const UnitName& name, const std::string& id,
                                     const std::map<std::string, std::string>& annotations, bool v2) {
  Properties out = {{"Description", "s", "husk container " + id}, {"DefaultDependencies", "b", false}};
  if (name.is_slice()) {
    // A slice's place is in its name, and it cannot be delegated.
    out.push_back({"Wants", "as", Json::array({name.slice})});
  } else {
    out.push_back({"Slice", "s", name.slice});
    out.push_back({"Delegate", "b", true});
  }
  for (const char* what : {"CPUAccounting", "MemoryAccounting", "TasksAccounting"})
    out.push_back({what, "b", true});
  out.push_back({v2 ? "IOAccounting" : "BlockIOAccounting", "b", true});
  for (const auto& [key, value] : annotations)
    if (key.starts_with(kAnnotation)) {
      UnitProperty p = with_context("annotation " + printable(key, 120), [&, &k = key, &v = value] {
        return property_from_annotation(k.substr(kAnnotation.size()), v);
      });
      put(out, p.name, p.signature.c_str(), p.value);
    }
  return out;
}

std::vector<UnitProperty> unit_limits(const spec::Resources& r, bool v2) {
  Properties out;
  if (r.memory) limit_memory(out, *r.memory, v2);
  if (r.cpu) limit_cpu(out, *r.cpu, v2);
  if (r.pids_limit) put_limit(out, "TasksMax", *r.pids_limit ? *r.pids_limit : -1);
  if (const uint16_t weight = r.block_io ? r.block_io->weight.value_or(0) : 0) {
    if (v2)
      put(out, "IOWeight", "t", cgroup::blkio_to_io_weight(weight));
    else
      put(out, "BlockIOWeight", "t", std::clamp<uint64_t>(weight, 10, 1000));
  }
  if (v2) limit_unified(out, r.unified);
  limit_devices(out, r.devices);
  return out;
}

}  // namespace husk
