#include "libcontainer/container/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <memory>

#include "libcontainer/base/deadlines.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/lock.h"
#include "libcontainer/base/process.h"
#include "libcontainer/base/rootless.h"

namespace husk {
namespace {

using Json = nlohmann::json;

constexpr const char* kStateFile = "state.json";
constexpr const char* kConfigCopy = "config.json";

[[noreturn]] void throw_missing(const std::string& id) {
  throw Error(ErrorKind::kNotFound, "container \"" + printable(id, 256) + "\" does not exist");
}

Json to_json(const ProcessId& process) {
  return {{"pid", process.pid}, {"start", process.start}};
}

ProcessId process_from(const Json& json, const char* name) {
  const auto it = json.find(name);
  if (it == json.end()) return {};
  return {it->at("pid").get<pid_t>(), it->at("start").get<unsigned long long>()};
}

bool still_there(int folder) {
  struct stat st;
  return fstat(folder, &st) == 0 && st.st_nlink > 0;
}

}  // namespace

ProcessId ProcessId::of(pid_t pid) {
  return {pid, process_start_time(pid)};
}

bool ProcessId::alive() const {
  return pid > 0 && start != 0 && process_start_time(pid) == start;
}

std::string Record::to_json() const {
  Json json = {{"ociVersion", oci_version},
               {"id", id},
               {"bundle", bundle},
               {"rootfs", rootfs},
               {"created", created},
               {"owner", owner},
               {"annotations", annotations},
               {"init", husk::to_json(init)},
               {"systemdCgroup", systemd_cgroup},
               {"startContainerHooks", start_hooks},
               {"poststartHooks", poststart_hooks},
               {"poststopHooks", poststop_hooks}};
  if (creator.pid) json["creator"] = husk::to_json(creator);
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Record Record::from_json(std::string_view text) {
  try {
    const Json json = Json::parse(text);
    Record record;
    record.id = json.at("id");
    record.oci_version = json.at("ociVersion");
    record.bundle = json.at("bundle");
    record.rootfs = json.at("rootfs");
    record.created = json.at("created");
    record.owner = json.at("owner");
    record.annotations = json.at("annotations").get<std::map<std::string, std::string>>();
    record.init = process_from(json, "init");
    record.creator = process_from(json, "creator");
    record.systemd_cgroup = json.at("systemdCgroup");
    record.start_hooks = json.value("startContainerHooks", false);  // not in an older husk's
    record.poststart_hooks = json.at("poststartHooks");
    record.poststop_hooks = json.at("poststopHooks");
    return record;
  } catch (const Json::exception&) {
    throw Error(ErrorKind::kInvalid, "not a state file of husk's");
  }
}

std::string Store::default_root() {
  const char* runtime_dir = getenv("XDG_RUNTIME_DIR");
  if (is_rootless() && runtime_dir && *runtime_dir) return path_join(runtime_dir, "husk");
  return "/run/husk";
}

std::string Store::folder(const std::string& id) const {
  return path_join(root_, id);
}

std::string Store::config_path(const std::string& id) const {
  return path_join(folder(id), kConfigCopy);
}

FolderLock Store::make(const std::string& id) const {
  if (!path_exists(root_)) {
    make_dirs(root_, 0711);
    check(chmod(root_.c_str(), 0711), "chmod " + root_);  // the caller's umask may have taken bits away
  }
  const std::string path = folder(id);
  if (mkdir(path.c_str(), 0700) != 0) {
    if (errno == EEXIST)
      throw Error(ErrorKind::kExists, "container with given ID already exists: " + id, EEXIST);
    throw_errno("mkdir " + path);
  }
  return lock(id);
}

FolderLock Store::lock(const std::string& id) const {
  const int fd = open(folder(id).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) throw_missing(id);
  UniqueFd dir(check(fd, "open " + folder(id)));
  if (!lock_exclusively(dir.get(), deadline::kCreateReply))
    throw Error(ErrorKind::kTimeout, "container \"" + id + "\" is busy with another command", ETIMEDOUT);
  // Whom we waited for may have been a delete.
  if (!still_there(dir.get())) throw_missing(id);
  return FolderLock(std::move(dir));
}

Record Store::load(const std::string& id) const {
  const std::string path = path_join(folder(id), kStateFile);
  std::string text;
  try {
    text = read_file(path);
  } catch (const Error& e) {
    if (e.errnum() == ENOENT || e.errnum() == ENOTDIR) throw_missing(id);
    throw;
  }
  return with_context(path, [&] { return Record::from_json(text); });
}

void Store::save(const Record& record) const {
  write_file_atomic(path_join(folder(record.id), kStateFile), record.to_json());
}

void Store::save_config(const std::string& id, std::string_view text) const {
  write_file(config_path(id), text, true);
}

bool Store::has_folder(const std::string& id) const {
  return path_exists(folder(id));
}

std::vector<std::string> Store::ids() const {
  std::vector<std::string> out;
  std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(root_.c_str()), closedir);
  if (!dir) {
    if (errno == ENOENT) return out;
    throw_errno("open " + root_);
  }
  while (const dirent* entry = readdir(dir.get())) {
    const std::string name = entry->d_name;
    if (name[0] == '.') continue;
    if (path_exists(path_join(folder(name), kStateFile))) out.push_back(name);
  }
  std::sort(out.begin(), out.end());
  return out;
}

void Store::remove(const std::string& id) const {
  remove_tree(folder(id));
}

std::string now_rfc3339() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  char seconds[32], out[64];
  strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
  snprintf(out, sizeof out, "%s.%09ldZ", seconds, now.tv_nsec);
  return out;
}

// By hand: getpwuid(3) of a static program would load shared libraries.
std::string user_name(uid_t uid) {
  const std::string wanted = std::to_string(uid);
  std::string unknown = "#" + wanted;
  std::string text;
  try {
    text = read_file("/etc/passwd");
  } catch (const Error&) {
    return unknown;
  }
  for (size_t pos = 0; pos < text.size();) {
    const size_t end = std::min(text.find('\n', pos), text.size());
    const std::string_view line = std::string_view(text).substr(pos, end - pos);
    pos = end + 1;
    const size_t name = line.find(':');
    const size_t password = name == line.npos ? name : line.find(':', name + 1);
    if (password == line.npos) continue;
    const size_t id_end = line.find(':', password + 1);
    if (line.substr(password + 1, id_end - password - 1) == wanted) return std::string(line.substr(0, name));
  }
  return unknown;
}

}  // namespace husk
