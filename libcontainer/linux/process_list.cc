#include "libcontainer/linux/process_list.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <sstream>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/file.h"

namespace husk {
namespace {

constexpr size_t kMaxCommand = 4096;
constexpr unsigned kFirstPts = 136, kLastPts = 143;  // majors of /dev/pts (admin-guide/devices.txt)

int64_t boot_time() {
  std::string stat = read_file("/proc/stat");
  size_t at = stat.find("\nbtime ");
  return at == std::string::npos ? 0 : atoll(stat.c_str() + at + 7);
}

std::string tty_name(unsigned device) {
  unsigned major_number = major(device), minor_number = minor(device);
  if (major_number >= kFirstPts && major_number <= kLastPts)
    return "pts/" + std::to_string((major_number - kFirstPts) * 256 + minor_number);
  return device ? "tty" : "?";
}

std::string command_of(const std::string& proc, const std::string& name) {
  // A process may have a very long command line: the beginning will do.
  UniqueFd fd = open_file(proc + "/cmdline", O_RDONLY);
  std::string line(kMaxCommand, '\0');
  ssize_t n = read(fd.get(), line.data(), line.size());
  line.resize(n > 0 ? static_cast<size_t>(n) : 0);
  while (!line.empty() && line.back() == '\0') line.pop_back();
  if (line.empty()) return "[" + printable(name) + "]";
  for (char& c : line)
    if (c == '\0') c = ' ';
  return printable(line, kMaxCommand);
}

// proc(5), /proc/PID/stat.
ProcessInfo describe(pid_t pid, int64_t boot, int64_t ticks) {
  std::string proc = "/proc/" + std::to_string(pid);
  std::string stat = read_file(proc + "/stat");
  size_t open = stat.find('('), close = stat.rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open)
    throw Error(ErrorKind::kInternal, proc + "/stat is not readable");
  std::istringstream rest(stat.substr(close + 1));
  std::string state, skip;
  long long ppid = 0, tty = 0, utime = 0, stime = 0, start = 0;
  rest >> state >> ppid >> skip >> skip >> tty;
  for (int field = 8; field <= 13; ++field) rest >> skip;
  rest >> utime >> stime;
  for (int field = 16; field <= 21; ++field) rest >> skip;
  unsigned long long size = 0, resident = 0;  // bytes, pages
  rest >> start >> size >> resident;
  struct stat owner;
  check(::stat(proc.c_str(), &owner), "stat " + proc);
  ProcessInfo info;
  info.pid = pid;
  info.ppid = static_cast<pid_t>(ppid);
  info.uid = owner.st_uid;
  info.state = state;
  info.virtual_kib = size >> 10;
  info.resident_kib = resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE)) >> 10;
  info.start_seconds = boot + start / ticks;
  info.cpu_milliseconds = (utime + stime) * 1000 / ticks;
  info.tty = tty_name(static_cast<unsigned>(tty));
  info.command = command_of(proc, stat.substr(open + 1, close - open - 1));
  return info;
}

}  // namespace

std::vector<ProcessInfo> describe_processes(const std::vector<pid_t>& pids) {
  int64_t boot = boot_time(), ticks = sysconf(_SC_CLK_TCK);
  std::vector<ProcessInfo> out;
  for (pid_t pid : pids) {
    try {
      out.push_back(describe(pid, boot, ticks));
    } catch (const Error&) {
      // it has ended meanwhile
    }
  }
  return out;
}

}  // namespace husk
