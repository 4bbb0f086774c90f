#include "libcontainer/linux/cgroups.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <thread>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/process.h"
#include "libcontainer/base/rootless.h"
#include "libcontainer/linux/cgroups_files.h"

namespace husk {

using cgroup::Clock;
using std::chrono::milliseconds;

Cgroup::Cgroup(std::string path, const std::string& root) : path_(std::move(path)) {
  for (std::string_view part : cgroup::split(path_, '/'))
    if (part == "..")
      throw Error(ErrorKind::kInvalid, "cgroup \"" + printable(path_) + "\": \"..\" is not allowed");
  path_ = clean_path("/" + path_);
  hierarchies_ = cgroup::find_hierarchies(clean_path(absolute_path(root)));
  for (Hierarchy& h : hierarchies_) h.folder = path_ == "/" ? h.mount : h.mount + path_;
  if (is_rootless()) leave_out_foreign();
}

// Where an ordinary user has no group of his own (delegated to him) he has none at all.
void Cgroup::leave_out_foreign() {
  std::erase_if(hierarchies_, [](const Hierarchy& h) {
    std::string folder = h.folder;
    while (folder.size() > h.mount.size() && !path_exists(folder)) folder = dir_name(folder);
    return faccessat(AT_FDCWD, folder.c_str(), W_OK, AT_EACCESS) != 0;
  });
}

const Cgroup::Hierarchy* Cgroup::find(const std::string& controller) const {
  for (const Hierarchy& h : hierarchies_)
    if (std::find(h.controllers.begin(), h.controllers.end(), controller) != h.controllers.end()) return &h;
  return nullptr;
}

const Cgroup::Hierarchy* Cgroup::unified() const {
  for (const Hierarchy& h : hierarchies_)
    if (h.v2) return &h;
  return nullptr;
}

const Cgroup::Hierarchy* Cgroup::freezer() const {
  const Hierarchy* v1 = find("freezer");
  return v1 ? v1 : unified();
}

void Cgroup::refuse_root(const char* verb) const {
  if (path_ == "/") throw Error(ErrorKind::kInvalid, std::string("refusing to ") + verb + " the root cgroup");
}

std::string Cgroup::v2_folder() const {
  const Hierarchy* h = unified();
  if (!h) h = find("memory");
  return h ? h->folder : "";
}

bool Cgroup::v2_only() const {
  return std::all_of(hierarchies_.begin(), hierarchies_.end(), [](const Hierarchy& h) { return h.v2; });
}

namespace {

void make_folder(const std::string& folder) {
  struct stat st;
  if (mkdir(folder.c_str(), 0755) == 0) return;
  int err = errno;
  if (err == EEXIST && stat(folder.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) return;
  throw_errno("mkdir " + folder, err);
}

// A v1 cpuset group starts empty, and then takes no process.
void inherit_cpuset(const std::string& parent, const std::string& folder) {
  for (const char* file : {"cpuset.cpus", "cpuset.mems"}) {
    std::optional<std::string> own = cgroup::read_control(folder, file);
    if (!own || !cgroup::trim(*own).empty()) continue;
    std::string value = cgroup::read_control(parent, file).value_or("");
    if (value = cgroup::trim(value); !value.empty()) cgroup::write_control(folder, file, value);
  }
}

// Hands the controllers of a v2 group on to its children. What cannot be handed on (the group has processes
// of its own, it is threaded, …) shows later as a missing file.
void enable_controllers(const std::string& folder) {
  std::string have = cgroup::read_control(folder, "cgroup.controllers").value_or("");
  std::string on = cgroup::read_control(folder, "cgroup.subtree_control").value_or("");
  std::vector<std::string_view> enabled = cgroup::split(cgroup::trim(on), ' ');
  std::vector<std::string> wanted;
  std::string all;
  for (std::string_view name : cgroup::split(cgroup::trim(have), ' ')) {
    if (std::find(enabled.begin(), enabled.end(), name) != enabled.end()) continue;
    wanted.push_back("+" + std::string(name));
    all += (all.empty() ? "" : " ") + wanted.back();
  }
  if (all.empty() || cgroup::try_write_control(folder, "cgroup.subtree_control", all) == 0) return;
  for (const std::string& one : wanted) cgroup::try_write_control(folder, "cgroup.subtree_control", one);
}

// The v2 group below folder which holds the lowest pid, and so (but for wrapped pids) the container's first
// process.
std::string oldest_member_folder(const std::string& folder) {
  std::vector<pid_t> pids;
  cgroup::collect_pids(folder, pids);
  if (pids.empty()) return "";
  pid_t oldest = *std::min_element(pids.begin(), pids.end());
  std::string found;
  cgroup::walk(folder, [&](int, const char*, int fd) {
    std::string path = "/proc/self/fd/" + std::to_string(fd), text;
    text = cgroup::read_control(path, "cgroup.procs").value_or("");
    for (std::string_view line : cgroup::split(text, '\n'))
      if (cgroup::number(line) == static_cast<uint64_t>(oldest)) {
        char target[PATH_MAX];
        ssize_t n = readlink(path.c_str(), target, sizeof target);
        if (n > 0 && static_cast<size_t>(n) < sizeof target) found.assign(target, static_cast<size_t>(n));
      }
  });
  return found;
}

// file: "cgroup.procs", or "tasks" for one thread.
void join(const CgroupHierarchy& h, const std::string& pid, const char* file = "cgroup.procs") {
  // The kernel says EINVAL for a task that is just being born, and has no event for its birth.
  int err = 0;
  for (int tries = 0; tries < 5; ++tries) {
    err = cgroup::try_write_control(h.folder, file, pid);
    if (err == EBUSY && h.v2)
      if (std::string folder = oldest_member_folder(h.folder); !folder.empty())
        err = cgroup::try_write_control(folder, "cgroup.procs", pid);
    // A delegated group, but we are not below it, and so may not move there (cgroups(7), delegation).
    if ((err == EACCES || err == EPERM) && is_rootless()) return;
    if (err != EINVAL) break;
    std::this_thread::sleep_for(milliseconds(10));
  }
  if (err) cgroup::throw_write(h.folder, file, pid, err);
}

bool has_member(const std::string& folder, pid_t pid) {
  const std::string text = cgroup::read_control(folder, "cgroup.procs").value_or("");
  return std::ranges::any_of(cgroup::split(text, '\n'), [pid](std::string_view line) {
    return cgroup::number(line) == static_cast<uint64_t>(pid);
  });
}

}  // namespace

void Cgroup::create() {
  for (const Hierarchy& h : hierarchies_) {
    bool cpuset =
        !h.v2 && std::find(h.controllers.begin(), h.controllers.end(), "cpuset") != h.controllers.end();
    std::string folder = h.mount;
    for (std::string_view part : cgroup::split(path_, '/')) {
      std::string child = path_join(folder, part);
      if (h.v2) enable_controllers(folder);
      make_folder(child);
      if (cpuset) inherit_cpuset(folder, child);
      folder = child;
    }
    if (h.v2 && cgroup::trim(cgroup::read_control(folder, "cgroup.type").value_or("")) == "domain invalid")
      throw Error(ErrorKind::kUnsupported, folder + " is in a threaded subtree, which can hold no container");
  }
}

// A folder's links are itself, its name and its subfolders' "..": two, and nobody has split it.
std::string Cgroup::birth_folder() const {
  std::string folder = v2_folder();
  struct stat st;
  if (stat(folder.c_str(), &st) == 0 && st.st_nlink == 2) return folder;
  const std::string oldest = oldest_member_folder(folder);
  return oldest.empty() ? folder : oldest;
}

std::vector<Cgroup::Hierarchy> Cgroup::hierarchies_below(const std::vector<SubCgroup>& below) const {
  for (const SubCgroup& sub : below)
    for (const std::string& name : sub.controllers)
      if (const Hierarchy* h = find(name); !h || h->v2)
        throw Error(ErrorKind::kInvalid, "unknown controller " + printable(name) + " (of cgroup v1)");
  std::vector<Hierarchy> all = hierarchies_;
  for (Hierarchy& h : all) {
    const std::string own = h.folder;
    for (const SubCgroup& sub : below)
      if (sub.controllers.empty() ||
          std::ranges::find_first_of(sub.controllers, h.controllers) != sub.controllers.end())
        h.folder = path_join(own, sub.path);
  }
  return all;
}

void Cgroup::add(pid_t pid) {
  for (const Hierarchy& h : hierarchies_)
    with_context("adding pid " + std::to_string(pid), [&] { join(h, std::to_string(pid)); });
}

// A thread that moves itself, and alone, needs no lock over every process's threads, for which the kernel
// waits until all CPUs have noticed (cgroup_attach_lock in its kernel/cgroup/cgroup.c).
void Cgroup::add_self(const std::vector<SubCgroup>& below) const {
  for (const Hierarchy& h : hierarchies_below(below))
    with_context("adding pid " + std::to_string(getpid()), [&] {
      if (!h.v2)
        join(h, "0", "tasks");
      else if (!has_member(h.folder, getpid()))
        join(h, "0");
    });
}

UniqueFd Cgroup::open_unified() const {
  const Hierarchy* h = unified();
  return h ? open_file(h->folder, O_RDONLY | O_DIRECTORY) : UniqueFd();
}

std::vector<SubCgroup> parse_sub_cgroups(const std::vector<std::string>& texts) {
  std::vector<SubCgroup> out;
  for (const std::string& text : texts) {
    SubCgroup sub;
    const size_t colon = text.find(':');
    if (colon != text.npos)
      for (std::string_view name : cgroup::split(std::string_view(text).substr(0, colon), ','))
        sub.controllers.emplace_back(name);
    sub.path = colon == text.npos ? text : text.substr(colon + 1);
    for (std::string_view part : cgroup::split(sub.path, '/'))
      if (part == "..") throw Error(ErrorKind::kInvalid, printable(sub.path) + " is not a sub cgroup path");
    out.push_back(std::move(sub));
  }
  return out;
}

std::vector<pid_t> Cgroup::pids() const {
  std::vector<pid_t> all;
  for (const Hierarchy& h : hierarchies_) cgroup::collect_pids(h.folder, all);
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

namespace {

// One attempt at the group and its children: 0, or the errno of the topmost that stays.
int remove_once(const std::string& folder) {
  int err = 0;
  cgroup::walk(folder, [&](int parent, const char* name, int) {
    err = unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : errno;
  });
  return err;
}

// Waits for something that may have made the group removable; false where there is nothing to wait for.
bool wait_members(const CgroupHierarchy& h, Clock::time_point deadline) {
  if (h.v2 && path_exists(path_join(h.folder, "cgroup.events"))) {
    std::string events = cgroup::read_control(h.folder, "cgroup.events").value_or("");
    if (cgroup::keyed(events, "populated") == 0) return false;
    cgroup::wait_event(h.folder, "populated", 0, deadline);
    return true;
  }
  std::vector<pid_t> pids;
  cgroup::collect_pids(h.folder, pids);
  for (pid_t pid : pids) {
    try {
      UniqueFd pidfd = open_pidfd(pid);
      auto left = std::chrono::ceil<milliseconds>(deadline - Clock::now());
      // Already ended: it leaves the list in a moment; look at the next one.
      if (wait_pidfd(pidfd.get(), milliseconds(0))) continue;
      wait_pidfd(pidfd.get(), std::max(left, milliseconds(0)));
      return true;
    } catch (const Error& e) {
      if (e.errnum() != ESRCH && e.kind() != ErrorKind::kNotFound) throw;
    }
  }
  return false;
}

void remove_folder(const CgroupHierarchy& h, Clock::time_point deadline) {
  milliseconds pause(1);
  for (;;) {
    int err = remove_once(h.folder);
    if (!err) return;
    if (err != EBUSY) throw_errno("rmdir " + h.folder, err);
    if (Clock::now() >= deadline) {
      std::vector<pid_t> left;
      cgroup::collect_pids(h.folder, left);
      std::string who;
      for (size_t i = 0; i < left.size() && i < 8; ++i) who += (i ? ", " : "") + std::to_string(left[i]);
      throw Error(ErrorKind::kTimeout, "rmdir " + h.folder + ": still busy, processes: " + who, EBUSY);
    }
    if (wait_members(h, deadline)) continue;
    // Nobody is listed any more, but the kernel has not yet let go of the last task: that has no event.
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, milliseconds(50));
  }
}

}  // namespace

void Cgroup::remove(milliseconds timeout) {
  refuse_root("remove");
  Clock::time_point deadline = Clock::now() + timeout;
  std::optional<Error> first;
  for (const Hierarchy& h : hierarchies_) {
    try {
      remove_folder(h, deadline);
    } catch (const Error& e) {
      if (!first) first = e;
    }
  }
  if (first) throw *first;
}

void refuse_foreign_cgroup(const Cgroup& cgroup) {
  if (cgroup.path() == "/")
    throw Error(ErrorKind::kInvalid, "linux.cgroupsPath: the root cgroup cannot be a container's");
  if (const size_t count = cgroup.pids().size())
    throw Error(ErrorKind::kInvalid, "container's cgroup " + printable(cgroup.path()) +
                                         " is not empty: " + std::to_string(count) + " process(es) found");
  if (cgroup.frozen())
    throw Error(ErrorKind::kInvalid, "container's cgroup unexpectedly frozen: " + printable(cgroup.path()));
}

}  // namespace husk
