#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <memory>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/file.h"
#include "libcontainer/linux/cgroups_files.h"

namespace husk::cgroup {

std::optional<std::string> read_control(const std::string& folder, const std::string& name) {
  std::string path = path_join(folder, name);
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) {
    if (errno == ENOENT || errno == ENODEV) return std::nullopt;
    throw_errno("open " + path);
  }
  try {
    return read_all(fd.get(), kMaxSmallFile, "read " + path);
  } catch (const Error& e) {
    // Removed since the open, or not readable in this kind of group.
    if (e.errnum() == ENODEV || e.errnum() == EOPNOTSUPP) return std::nullopt;
    throw;
  }
}

int try_write_control(const std::string& folder, const std::string& name, const std::string& value) {
  std::string path = path_join(folder, name);
  // O_TRUNC means nothing to the kernel's files, but something to a test's.
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  if (!fd) return errno;
  ssize_t n;
  do n = write(fd.get(), value.data(), value.size());
  while (n < 0 && errno == EINTR);
  return n < 0 ? errno : 0;
}

void throw_write(const std::string& folder, const std::string& name, const std::string& value, int errnum) {
  throw_errno("write \"" + printable(value) + "\" to " + path_join(folder, name), errnum);
}

bool write_control(const std::string& folder, const std::string& name, const std::string& value) {
  int err = try_write_control(folder, name, value);
  if (err == ENOENT && path_exists(folder) && !path_exists(path_join(folder, name))) return false;
  if (err) throw_write(folder, name, value, err);
  return true;
}

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  size_t begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    size_t end = std::min(text.find(separator), text.size());
    if (end > 0) parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

uint64_t number(std::string_view text) {
  text = trim(text);
  if (text == "max") return UINT64_MAX;
  uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

uint64_t keyed(std::string_view text, std::string_view key) {
  for (std::string_view line : split(text, '\n'))
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ')
      return number(line.substr(key.size() + 1));
  return 0;
}

namespace {

// The names of the folders in fd.
std::vector<std::string> list_folders(int fd) {
  std::vector<std::string> names;
  UniqueFd copy = open_at(fd, ".", O_RDONLY | O_DIRECTORY);
  std::unique_ptr<DIR, int (*)(DIR*)> dir(fdopendir(copy.get()), closedir);
  if (!dir) return names;
  copy.release();
  while (const dirent* entry = readdir(dir.get())) {
    std::string_view name = entry->d_name;
    if (entry->d_type == DT_DIR && name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

UniqueFd open_folder(int parent, const char* name) {
  UniqueFd fd(openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd && errno != ENOENT && errno != ENODEV) throw_errno("open " + printable(name));
  return fd;
}

// What is below `folder`, which is closed meanwhile: groups may be nested deeper than there are fds.
void walk_below(UniqueFd& folder, const Visitor& visit) {
  for (const std::string& name : list_folders(folder.get())) {
    UniqueFd child = open_folder(folder.get(), name.c_str());
    if (!child) continue;
    folder.reset();
    walk_below(child, visit);
    folder = open_at(child.get(), "..", O_RDONLY | O_DIRECTORY);
    visit(folder.get(), name.c_str(), child.get());
  }
}

}  // namespace

void walk(const std::string& folder, const Visitor& visit) {
  UniqueFd fd = open_folder(AT_FDCWD, folder.c_str());
  if (!fd) return;
  walk_below(fd, visit);
  visit(AT_FDCWD, folder.c_str(), fd.get());
}

void collect_pids(const std::string& folder, std::vector<pid_t>& out) {
  walk(folder, [&](int, const char*, int fd) {
    // A threaded group has no cgroup.procs to read: its processes are listed further up.
    UniqueFd procs(openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC));
    if (!procs) return;
    std::string text;
    try {
      text = read_all(procs.get(), kMaxSmallFile, "read cgroup.procs");
    } catch (const Error& e) {
      if (e.errnum() == ENODEV || e.errnum() == EOPNOTSUPP) return;
      throw;
    }
    for (std::string_view line : split(text, '\n'))
      if (auto pid = static_cast<pid_t>(number(line)); pid > 0) out.push_back(pid);
  });
}

bool wait_event(const std::string& folder, std::string_view key, uint64_t value, Clock::time_point deadline) {
  std::string path = path_join(folder, "cgroup.events");
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT) return true;
  if (!fd) throw_errno("open " + path);
  for (;;) {
    char text[256];
    ssize_t n = pread(fd.get(), text, sizeof text, 0);
    if (n < 0 && errno == ENODEV) return true;
    if (n < 0 && errno != EINTR) throw_errno("read " + path);
    if (n >= 0 && keyed({text, static_cast<size_t>(n)}, key) == value) return true;
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd p{fd.get(), POLLPRI, 0};
    if (poll(&p, 1, static_cast<int>(left)) < 0 && errno != EINTR) throw_errno("poll " + path);
  }
}

std::optional<std::string> Controls::get(const std::string& file) const {
  if (!hierarchy_) return std::nullopt;
  return read_control(hierarchy_->folder, file);
}

int Controls::try_set(const std::string& file, const std::string& value) {
  if (!hierarchy_) {
    warn(controller_ + ": no such cgroup controller, " + file + " is not set");
    return 0;
  }
  int err = try_write_control(hierarchy_->folder, file, value);
  if (err != ENOENT || path_exists(path_join(hierarchy_->folder, file))) return err;
  if (!path_exists(hierarchy_->folder)) fail(file, value, ENOENT);
  warn(controller_ + ": the kernel has no " + file + " here, it is not set");
  return 0;
}

void Controls::set(const std::string& file, const std::string& value) {
  if (int err = try_set(file, value)) fail(file, value, err);
}

void Controls::fail(const std::string& file, const std::string& value, int errnum) const {
  throw_write(hierarchy_ ? hierarchy_->folder : controller_, file, value, errnum);
}

}  // namespace husk::cgroup
