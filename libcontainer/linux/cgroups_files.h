// Private to cgroups*.cc and their test: control files, walking groups, and the conversions that need no
// kernel.
#pragma once

#include <linux/bpf.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libcontainer/linux/cgroups.h"

namespace husk::deadline {
inline constexpr std::chrono::seconds kCgroupFreeze{10};  // until every process of a cgroup stands still
}

namespace husk::cgroup {

using Clock = std::chrono::steady_clock;

// Nothing when the file, or the whole group, is not there.
std::optional<std::string> read_control(const std::string& folder, const std::string& name);
// False when there is no such file. Throws `write "VALUE" to PATH: errno`.
bool write_control(const std::string& folder, const std::string& name, const std::string& value);
// The same; the errno instead of an exception, 0 for success.
int try_write_control(const std::string& folder, const std::string& name, const std::string& value);
[[noreturn]] void throw_write(const std::string& folder, const std::string& name, const std::string& value,
                              int errnum);

std::vector<std::string_view> split(std::string_view text, char separator);  // without empty parts
std::string_view trim(std::string_view text);
// A number at the front of text; "max" is UINT64_MAX, anything else 0.
uint64_t number(std::string_view text);
// The value of "key value" lines (memory.stat, cgroup.events, …); 0 without it.
uint64_t keyed(std::string_view text, std::string_view key);

// visit(parent fd, name, fd) for a folder and everything below it, children first. Folders that go away
// meanwhile are skipped. By fd: a container can nest its groups deeper than a path is long.
using Visitor = std::function<void(int parent, const char* name, int fd)>;
void walk(const std::string& folder, const Visitor& visit);
// The members of the groups; processes of an outer pid namespace (shown as 0) left out.
void collect_pids(const std::string& folder, std::vector<pid_t>& out);
// Waits until FOLDER/cgroup.events has "key value", or the group is gone. False at the deadline.
bool wait_event(const std::string& folder, std::string_view key, uint64_t value, Clock::time_point deadline);

// Whether a file system of cgroup v2 is there (statfs(2)).
bool is_cgroup2(const std::string& path);
std::vector<CgroupHierarchy> find_hierarchies(const std::string& root);

// The control files of one controller. Where the controller or a file is missing the limit becomes a warning.
class Controls {
 public:
  Controls(const CgroupHierarchy* hierarchy, std::string controller, std::vector<std::string>& warnings)
      : hierarchy_(hierarchy), controller_(std::move(controller)), warnings_(warnings) {}

  bool v2() const { return !hierarchy_ || hierarchy_->v2; }
  std::optional<std::string> get(const std::string& file) const;
  bool has(const std::string& file) const { return get(file).has_value(); }
  void set(const std::string& file, const std::string& value);
  // The errno, so that the caller can try another order; a missing file is a warning and 0.
  int try_set(const std::string& file, const std::string& value);
  [[noreturn]] void fail(const std::string& file, const std::string& value, int errnum) const;
  void warn(const std::string& text) { warnings_.push_back(text); }

 private:
  const CgroupHierarchy* hierarchy_;
  std::string controller_;
  std::vector<std::string>& warnings_;
};

void limit_memory_v1(Controls& c, const spec::MemoryResources& memory);
void limit_memory_v2(Controls& c, const spec::MemoryResources& memory);
void limit_cpu_v1(Controls& c, const spec::CpuResources& cpu);
void limit_cpu_v2(Controls& c, const spec::CpuResources& cpu);
void limit_io_v1(Controls& c, const spec::BlockIoResources& io);
void limit_io_v2(Controls& c, const spec::BlockIoResources& io);
// Refuses a limit below what is in use now (memory.checkBeforeUpdate).
void check_memory_usage(Controls& c, const char* usage_file, const spec::MemoryResources& memory);

uint64_t shares_to_weight(uint64_t shares);    // cpu: 2…262144 → 1…10000
uint64_t blkio_to_io_weight(uint64_t weight);  // 10…1000 → 1…10000

// {file, line} in order, to bring devices.list from `current` to the rules.
std::vector<std::pair<std::string, std::string>> device_writes(const std::vector<spec::DeviceCgroup>& rules,
                                                               std::string_view current);
std::vector<bpf_insn> device_program(const std::vector<spec::DeviceCgroup>& rules);

}  // namespace husk::cgroup
