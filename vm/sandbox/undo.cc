#include "vm/sandbox/undo.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/process.h"

namespace husk::vm {
namespace {

constexpr const char* kFile = "undo.json";

nlohmann::json to_json(const ProcessId& p) {
  return {{"pid", p.pid}, {"start_time", p.start_time}};
}

ProcessId process_from(const nlohmann::json& json, const char* name) {
  if (!json.contains(name)) return {};
  return {json[name].value("pid", 0), json[name].value("start_time", 0ULL)};
}

}  // namespace

void Undo::save(const std::string& folder) const {
  nlohmann::json json = {{"cgroup", cgroup},     {"unit", unit},
                         {"netns", netns},       {"sandbox_folder", sandbox_folder},
                         {"made_vm", made_vm},   {"sandbox", to_json(sandbox)},
                         {"shim", to_json(shim)}};
  write_file_atomic(path_join(folder, kFile), json.dump());
}

bool Undo::load(const std::string& folder, Undo& out) {
  std::string path = path_join(folder, kFile), text;
  try {
    text = read_file(path);
  } catch (const Error& e) {
    if (e.errnum() == ENOENT || e.errnum() == ENOTDIR) return false;
    throw;
  }
  auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object()) throw Error(ErrorKind::kInternal, path + ": not JSON");
  out.cgroup = json.value("cgroup", "");
  out.unit = json.value("unit", "");
  out.netns = json.value("netns", "");
  out.sandbox_folder = json.value("sandbox_folder", "");
  out.made_vm = json.value("made_vm", false);
  out.sandbox = process_from(json, "sandbox");
  out.shim = process_from(json, "shim");
  return true;
}

ProcessId identify(pid_t pid) {
  return {pid, process_start_time(pid)};
}

bool is_alive(const ProcessId& process) {
  return process.pid > 0 && process.start_time != 0 && process_start_time(process.pid) == process.start_time;
}

UniqueFd open_process(const ProcessId& process) {
  if (!is_alive(process)) return {};
  UniqueFd pidfd(static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
  // Else gone between the two looks, or a later process with this pid.
  return pidfd && is_alive(process) ? std::move(pidfd) : UniqueFd();
}

void kill_process(const ProcessId& process) {
  UniqueFd pidfd = open_process(process);
  if (!pidfd) return;
  syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  if (!wait_pidfd(pidfd.get(), deadline::kProcessEnd))
    throw Error(ErrorKind::kTimeout,
                "process " + std::to_string(process.pid) + " does not end after SIGKILL");
}

}  // namespace husk::vm
