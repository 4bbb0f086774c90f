#include "vm/sandbox/undo.h"

#include <signal.h>

#include <nlohmann/json.hpp>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/process.h"

namespace husk::vm {
namespace {

constexpr const char* kFile = "undo.json";

nlohmann::json to_json(const ProcessId& p) { return {{"pid", p.pid}, {"start_time", p.start_time}}; }

ProcessId process_from(const nlohmann::json& json, const char* name) {
  if (!json.contains(name)) return {};
  return {json[name].value("pid", 0), json[name].value("start_time", 0ULL)};
}

}  // namespace

void Undo::save(const std::string& folder) const {
  nlohmann::json json = {{"cgroup", cgroup},
                         {"netns", netns},
                         {"sandbox_folder", sandbox_folder},
                         {"sandbox", to_json(sandbox)},
                         {"shim", to_json(shim)}};
  write_file_atomic(path_join(folder, kFile), json.dump());
}

bool Undo::load(const std::string& folder, Undo& out) {
  std::string path = path_join(folder, kFile);
  if (!path_exists(path)) return false;
  auto json = nlohmann::json::parse(read_file(path), nullptr, false);
  if (!json.is_object()) throw Error(ErrorKind::kInternal, path + ": not JSON");
  out.cgroup = json.value("cgroup", "");
  out.netns = json.value("netns", "");
  out.sandbox_folder = json.value("sandbox_folder", "");
  out.sandbox = process_from(json, "sandbox");
  out.shim = process_from(json, "shim");
  return true;
}

ProcessId identify(pid_t pid) { return {pid, process_start_time(pid)}; }

bool is_alive(const ProcessId& process) {
  return process.pid > 0 && process.start_time != 0 && process_start_time(process.pid) == process.start_time;
}

void kill_process(const ProcessId& process) {
  if (!is_alive(process)) return;
  UniqueFd pidfd;
  try {
    pidfd = open_pidfd(process.pid);
  } catch (const Error&) {
    return;  // gone between the two looks
  }
  if (!is_alive(process)) return;  // the pidfd is of a later process with this pid
  ::kill(process.pid, SIGKILL);
  if (!wait_pidfd(pidfd.get(), deadline::kProcessEnd))
    throw Error(ErrorKind::kTimeout, "process " + std::to_string(process.pid) + " does not end after SIGKILL");
}

}  // namespace husk::vm
