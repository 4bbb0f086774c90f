#include "libcontainer/base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <vector>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"

namespace husk {

std::string read_file(const std::string& path, size_t max) {
  UniqueFd fd = open_file(path, O_RDONLY);
  return read_all(fd.get(), max, "read " + path);
}

void write_file(const std::string& path, std::string_view data, bool create, mode_t mode) {
  UniqueFd fd = open_file(path, O_WRONLY | (create ? O_CREAT | O_TRUNC : 0), mode);
  write_all(fd.get(), data, "write " + path);
}

void write_file_atomic(const std::string& path, std::string_view data, mode_t mode) {
  std::string tmp = path + ".tmp" + std::to_string(getpid());
  try {
    write_file(tmp, data, true, mode);
    check(rename(tmp.c_str(), path.c_str()), "rename " + tmp + " to " + path);
  } catch (...) {
    unlink(tmp.c_str());
    throw;
  }
}

bool path_exists(const std::string& path) {
  struct stat st;
  return lstat(path.c_str(), &st) == 0;
}

void make_dirs(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0) return;
  if (errno == ENOENT && path.find('/', 1) != std::string::npos) {
    make_dirs(dir_name(path), mode);
    if (mkdir(path.c_str(), mode) == 0) return;
  }
  int err = errno;
  struct stat st;
  if (err == EEXIST && stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) return;
  throw_errno("mkdir " + path, err == EEXIST ? ENOTDIR : err);
}

std::vector<std::string> list_entries(const std::string& folder) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(folder.c_str()), closedir);
  while (const dirent* entry = dir ? readdir(dir.get()) : nullptr) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  return names;
}

namespace {

void remove_below(const std::filesystem::path& path, dev_t dev) {
  struct stat st;
  if (lstat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) return;
    throw_errno("lstat " + path.string());
  }
  // Never reach into a mount that somebody left here: its files are not ours.
  if (st.st_dev != dev) throw_errno("remove " + path.string() + " (a mount point)", EBUSY);
  if (S_ISDIR(st.st_mode))
    for (const auto& entry : std::filesystem::directory_iterator(path)) remove_below(entry.path(), dev);
  if (remove(path.c_str()) != 0 && errno != ENOENT) throw_errno("remove " + path.string());
}

}  // namespace

void remove_tree(const std::string& path) {
  struct stat st;
  if (lstat(path.c_str(), &st) != 0) {
    if (errno == ENOENT) return;
    throw_errno("lstat " + path);
  }
  try {
    remove_below(path, st.st_dev);
  } catch (const std::filesystem::filesystem_error& e) {
    throw_errno("remove " + path, e.code().value());
  }
}

std::string path_join(std::string_view dir, std::string_view name) {
  std::string out(dir);
  if (!out.empty() && out.back() != '/') out += '/';
  while (!name.empty() && name.front() == '/') name.remove_prefix(1);
  return out.append(name);
}

std::string base_name(std::string_view path) {
  size_t slash = path.rfind('/');
  return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

std::string dir_name(std::string_view path) {
  size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash == 0 ? "/" : std::string(path.substr(0, slash));
}

std::string clean_path(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    size_t slash = path.find('/');
    std::string_view part = path.substr(0, slash);
    path.remove_prefix(slash == std::string_view::npos ? path.size() : slash + 1);
    if (part == ".." && !parts.empty()) parts.pop_back();
    if (!part.empty() && part != "." && part != "..") parts.push_back(part);
  }
  std::string out;
  for (std::string_view part : parts) out.append("/").append(part);
  return out.empty() ? "/" : out;
}

std::string absolute_path(const std::string& path) {
  if (!path.empty() && path[0] == '/') return clean_path(path);
  char cwd[PATH_MAX];
  if (!getcwd(cwd, sizeof cwd)) throw_errno("getcwd");
  return clean_path(path_join(cwd, path));
}

std::string program_dir() {
  char buf[PATH_MAX];
  ssize_t n = check(readlink("/proc/self/exe", buf, sizeof buf), "readlink /proc/self/exe");
  return dir_name(std::string_view(buf, static_cast<size_t>(n)));
}

}  // namespace husk
