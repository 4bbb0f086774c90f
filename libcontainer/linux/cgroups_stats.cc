// Cgroup::stats: the "data" of runc's `events --stats`, in v1's terms whatever the kernel has.
#include <dirent.h>
#include <unistd.h>

#include <array>
#include <memory>

#include "libcontainer/linux/cgroups_files.h"

namespace husk {

using cgroup::keyed;
using cgroup::number;
using Json = nlohmann::json;

namespace {

// The files of one controller of this group; "" and 0 for what is not there.
class Reader {
 public:
  explicit Reader(const CgroupHierarchy* h) : h_(h) {}
  bool v2() const { return h_ && h_->v2; }
  std::string text(const std::string& file) const {
    return h_ ? cgroup::read_control(h_->folder, file).value_or("") : "";
  }
  uint64_t value(const std::string& file) const { return number(text(file)); }

 private:
  const CgroupHierarchy* h_;
};

Json numbers(std::string_view text) {
  Json list = Json::array();
  for (std::string_view n : cgroup::split(cgroup::trim(text), ' ')) list.push_back(number(n));
  return list;
}

// "0-2,5" → [0, 1, 2, 5].
Json number_ranges(std::string_view text) {
  Json list = Json::array();
  for (std::string_view part : cgroup::split(cgroup::trim(text), ',')) {
    size_t dash = part.find('-');
    uint64_t first = number(part), last = dash == part.npos ? first : number(part.substr(dash + 1));
    for (uint64_t n = first; n <= last && list.size() < 65536; ++n) list.push_back(n);
  }
  return list;
}

Json cpu_stats(const Reader& cpu, const Reader& cpuacct) {
  std::string stat = cpu.text("cpu.stat");
  Json usage, throttling;
  if (cpu.v2()) {
    usage = {{"total", keyed(stat, "usage_usec") * 1000},
             {"kernel", keyed(stat, "system_usec") * 1000},
             {"user", keyed(stat, "user_usec") * 1000}};
  } else {
    std::string split = cpuacct.text("cpuacct.stat");
    uint64_t tick = 1'000'000'000 / static_cast<uint64_t>(sysconf(_SC_CLK_TCK));
    usage = {{"total", cpuacct.value("cpuacct.usage")},
             {"percpu", numbers(cpuacct.text("cpuacct.usage_percpu"))},
             {"percpu_kernel", numbers(cpuacct.text("cpuacct.usage_percpu_sys"))},
             {"percpu_user", numbers(cpuacct.text("cpuacct.usage_percpu_user"))},
             {"kernel", keyed(split, "system") * tick},
             {"user", keyed(split, "user") * tick}};
  }
  throttling = {
      {"periods", keyed(stat, "nr_periods")},
      {"throttledPeriods", keyed(stat, "nr_throttled")},
      {"throttledTime", cpu.v2() ? keyed(stat, "throttled_usec") * 1000 : keyed(stat, "throttled_time")}};
  return {{"usage", usage}, {"throttling", throttling}};
}

Json cpuset_stats(const Reader& cpuset) {
  if (cpuset.v2())
    return {{"cpus", number_ranges(cpuset.text("cpuset.cpus.effective"))},
            {"mems", number_ranges(cpuset.text("cpuset.mems.effective"))}};
  std::string level = cpuset.text("cpuset.sched_relax_domain_level");
  return {{"cpus", number_ranges(cpuset.text("cpuset.cpus"))},
          {"cpu_exclusive", cpuset.value("cpuset.cpu_exclusive")},
          {"mems", number_ranges(cpuset.text("cpuset.mems"))},
          {"mem_hardwall", cpuset.value("cpuset.mem_hardwall")},
          {"mem_exclusive", cpuset.value("cpuset.mem_exclusive")},
          {"memory_migrate", cpuset.value("cpuset.memory_migrate")},
          {"memory_spread_page", cpuset.value("cpuset.memory_spread_page")},
          {"memory_spread_slab", cpuset.value("cpuset.memory_spread_slab")},
          {"memory_pressure", cpuset.value("cpuset.memory_pressure")},
          {"sched_load_balance", cpuset.value("cpuset.sched_load_balance")},
          {"sched_relax_domain_level", level.starts_with("-1") ? -1 : static_cast<int64_t>(number(level))}};
}

Json memory_entry(uint64_t limit, uint64_t usage, uint64_t max, uint64_t failcnt) {
  return {{"limit", limit}, {"usage", usage}, {"max", max}, {"failcnt", failcnt}};
}

// memory.stat, and beside it what the OOM killer took.
Json raw_stats(std::string_view stat, std::string_view events) {
  Json raw = Json::object();
  for (std::string_view line : cgroup::split(stat, '\n'))
    if (size_t space = line.find(' '); space != line.npos)
      raw[std::string(line.substr(0, space))] = number(line.substr(space));
  raw["oom_kill"] = keyed(events, "oom_kill");
  return raw;
}

Json memory_v1(const Reader& memory) {
  auto entry = [&](const std::string& prefix) {
    return memory_entry(memory.value(prefix + ".limit_in_bytes"), memory.value(prefix + ".usage_in_bytes"),
                        memory.value(prefix + ".max_usage_in_bytes"), memory.value(prefix + ".failcnt"));
  };
  std::string stat = memory.text("memory.stat");
  return {
      {"cache", keyed(stat, "total_cache")},   {"usage", entry("memory")},
      {"swap", entry("memory.memsw")},         {"kernel", entry("memory.kmem")},
      {"kernelTCP", entry("memory.kmem.tcp")}, {"raw", raw_stats(stat, memory.text("memory.oom_control"))}};
}

// Swap is memory + swap, as v1 counts it.
Json memory_v2(const Reader& memory) {
  std::string stat = memory.text("memory.stat");
  uint64_t usage = memory.value("memory.current"), limit = memory.value("memory.max");
  uint64_t swap_limit = memory.value("memory.swap.max");
  bool unlimited = limit == UINT64_MAX || swap_limit == UINT64_MAX;
  return {{"cache", keyed(stat, "file")},
          {"usage", memory_entry(limit, usage, memory.value("memory.peak"),
                                 keyed(memory.text("memory.events"), "max"))},
          {"swap", memory_entry(unlimited ? UINT64_MAX : limit + swap_limit,
                                usage + memory.value("memory.swap.current"), 0,
                                keyed(memory.text("memory.swap.events"), "max"))},
          {"kernel", memory_entry(0, keyed(stat, "kernel"), 0, 0)},
          {"kernelTCP", memory_entry(0, keyed(stat, "sock"), 0, 0)},
          {"raw", raw_stats(stat, memory.text("memory.events"))}};
}

Json io_entry(std::string_view device, std::string_view op, uint64_t value) {
  size_t colon = device.find(':');
  return {{"major", number(device)},
          {"minor", colon == device.npos ? 0 : number(device.substr(colon + 1))},
          {"op", op},
          {"value", value}};
}

// "8:0 Read 4096" lines, or "8:0 4096" without an operation; the "Total N" line has no device.
Json io_table_v1(const Reader& io, std::initializer_list<const char*> files) {
  Json table = Json::array();
  for (const char* file : files) {
    std::string text = io.text(file);
    for (std::string_view line : cgroup::split(text, '\n')) {
      std::vector<std::string_view> fields = cgroup::split(line, ' ');
      if (fields.size() < 2 || fields[0].find(':') == line.npos) continue;
      table.push_back(io_entry(fields[0], fields.size() > 2 ? fields[1] : "", number(fields.back())));
    }
    if (!table.empty()) break;
  }
  return table;
}

Json io_v1(const Reader& io) {
  return {
      {"ioServiceBytesRecursive",
       io_table_v1(io, {"blkio.bfq.io_service_bytes_recursive", "blkio.io_service_bytes_recursive",
                        "blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"})},
      {"ioServicedRecursive",
       io_table_v1(io, {"blkio.bfq.io_serviced_recursive", "blkio.io_serviced_recursive",
                        "blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced"})},
      {"ioQueueRecursive", io_table_v1(io, {"blkio.bfq.io_queued_recursive", "blkio.io_queued_recursive"})},
      {"ioServiceTimeRecursive",
       io_table_v1(io, {"blkio.bfq.io_service_time_recursive", "blkio.io_service_time_recursive"})},
      {"ioWaitTimeRecursive",
       io_table_v1(io, {"blkio.bfq.io_wait_time_recursive", "blkio.io_wait_time_recursive"})},
      {"ioMergedRecursive", io_table_v1(io, {"blkio.bfq.io_merged_recursive", "blkio.io_merged_recursive"})},
      {"ioTimeRecursive", io_table_v1(io, {"blkio.bfq.time_recursive", "blkio.time_recursive"})},
      {"sectorsRecursive", io_table_v1(io, {"blkio.bfq.sectors_recursive", "blkio.sectors_recursive"})}};
}

// io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6".
Json io_v2(const Reader& io) {
  Json bytes = Json::array(), count = Json::array();
  constexpr std::array<std::pair<char, const char*>, 3> kOps = {
      {{'r', "Read"}, {'w', "Write"}, {'d', "Discard"}}};
  std::string text = io.text("io.stat");
  for (std::string_view line : cgroup::split(text, '\n')) {
    std::vector<std::string_view> fields = cgroup::split(line, ' ');
    for (size_t i = 1; i < fields.size(); ++i) {
      size_t equals = fields[i].find('=');
      if (equals == line.npos) continue;
      std::string_view key = fields[i].substr(0, equals);
      for (auto [letter, op] : kOps) {
        if (key.empty() || key[0] != letter) continue;
        Json entry = io_entry(fields[0], op, number(fields[i].substr(equals + 1)));
        if (key.substr(1) == "bytes") bytes.push_back(entry);
        if (key.substr(1) == "ios") count.push_back(entry);
      }
    }
  }
  return {{"ioServiceBytesRecursive", bytes}, {"ioServicedRecursive", count}};
}

// The sizes for which the group has a hugetlb.SIZE.… file: "2MB", "1GB".
std::vector<std::string> page_sizes(const std::string& folder) {
  std::vector<std::string> sizes;
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(folder.c_str()), closedir);
  if (!dir) return sizes;
  while (const dirent* entry = readdir(dir.get())) {
    std::string_view name = entry->d_name;
    if (!name.starts_with("hugetlb.")) continue;
    name.remove_prefix(8);
    size_t dot = name.find('.');
    if (dot == name.npos) continue;
    std::string_view last = name.substr(dot);
    if (last == ".current" || last == ".usage_in_bytes") sizes.emplace_back(name.substr(0, dot));
  }
  return sizes;
}

}  // namespace

nlohmann::json Cgroup::stats() const {
  Reader memory(find("memory")), pids(find("pids")), io(find("io"));
  // v2 counts CPU time in every group, with or without the controller.
  const Hierarchy* cpu = find("cpu");
  Json out = {{"cpu", cpu_stats(Reader(cpu || find("cpuacct") ? cpu : unified()), Reader(find("cpuacct")))},
              {"cpuset", cpuset_stats(Reader(find("cpuset")))},
              {"memory", memory.v2() ? memory_v2(memory) : memory_v1(memory)},
              {"blkio", io.v2() ? io_v2(io) : io_v1(Reader(find("blkio")))},
              {"hugetlb", Json::object()}};
  // runc's 0 is "no limit" here.
  uint64_t limit = pids.value("pids.max");
  out["pids"] = {{"current", pids.value("pids.current")}, {"limit", limit == UINT64_MAX ? 0 : limit}};
  if (const Hierarchy* h = find("hugetlb")) {
    Reader huge(h);
    for (const std::string& size : page_sizes(h->folder)) {
      std::string prefix = "hugetlb." + size;
      out["hugetlb"][size] = h->v2 ? Json{{"usage", huge.value(prefix + ".current")},
                                          {"max", 0},
                                          {"failcnt", keyed(huge.text(prefix + ".events"), "max")}}
                                   : Json{{"usage", huge.value(prefix + ".usage_in_bytes")},
                                          {"max", huge.value(prefix + ".max_usage_in_bytes")},
                                          {"failcnt", huge.value(prefix + ".failcnt")}};
    }
  }
  return out;
}

}  // namespace husk
