// Small files and folders, by path. For paths that somebody else controls see root.h.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

namespace husk {

inline constexpr size_t kMaxSmallFile = 16u << 20;

// The whole file; throws "open PATH: errno", or when it is larger than max bytes.
std::string read_file(const std::string& path, size_t max = kMaxSmallFile);
// open(O_WRONLY [| O_CREAT | O_TRUNC]) and one write: for /proc, /sys and cgroup files pass create = false.
void write_file(const std::string& path, std::string_view data, bool create = false, mode_t mode = 0600);
// Temporary file beside it, fsync-free rename over it: readers see the old or the new content, never a part.
void write_file_atomic(const std::string& path, std::string_view data, mode_t mode = 0600);

bool path_exists(const std::string& path);
// mkdir -p.
void make_dirs(const std::string& path, mode_t mode = 0755);
// The names in a folder, without "." and ".."; none where it cannot be read (it went meanwhile).
std::vector<std::string> list_entries(const std::string& folder);
// rm -r of husk's own folders; does not follow symlinks, does not cross into other file systems. A path that
// is gone already is fine.
void remove_tree(const std::string& path);

std::string path_join(std::string_view dir, std::string_view name);
std::string base_name(std::string_view path);
// Everything before the last slash; "/" or "." where there is none.
std::string dir_name(std::string_view path);
// An absolute path without "." and ".." and double slashes, by text alone (no symlink is read).
std::string clean_path(std::string_view path);
std::string absolute_path(const std::string& path);
// The folder of the running program (/proc/self/exe): husk finds husk-sandbox, husk-shim and husk-init beside
// itself.
std::string program_dir();

}  // namespace husk
