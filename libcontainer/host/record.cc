#include "libcontainer/host/record.h"

#include <nlohmann/json.hpp>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/process.h"

namespace husk::host {
namespace {

constexpr const char* kFile = "host.json";

}  // namespace

void Record::save(const std::string& folder) const {
  const nlohmann::json json = {{"cgroup", cgroup}, {"unit", unit},   {"bundle", bundle},
                               {"pid", pid},       {"start", start}, {"no_new_keyring", no_new_keyring}};
  write_file_atomic(path_join(folder, kFile), json.dump());
}

bool Record::load(const std::string& folder, Record& out) {
  const std::string path = path_join(folder, kFile);
  if (!path_exists(path)) return false;
  const auto json = nlohmann::json::parse(read_file(path), nullptr, false);
  if (!json.is_object()) throw Error(ErrorKind::kInternal, path + ": not JSON");
  out.cgroup = json.value("cgroup", "");
  out.unit = json.value("unit", "");
  out.bundle = json.value("bundle", "");
  out.pid = json.value("pid", 0);
  out.start = json.value("start", 0ULL);
  out.no_new_keyring = json.value("no_new_keyring", false);
  return true;
}

bool Record::alive() const {
  return pid > 0 && start != 0 && process_start_time(pid) == start;
}

UniqueFd Record::open() const {
  if (!alive()) return {};
  try {
    UniqueFd pidfd = open_pidfd(pid);
    // Between the two looks the pid may have become another process's.
    return alive() ? std::move(pidfd) : UniqueFd();
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::kNotFound) throw;
    return {};
  }
}

}  // namespace husk::host
