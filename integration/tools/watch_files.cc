// watch_files PATH...: prints what inotify(7) says of each, a line an event: PATH/NAME EVENT..., and "ready"
// first. With -r it watches the folders below, too, also those that come, as programs do that watch a tree.
#include <sys/inotify.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <utility>

namespace {

constexpr std::pair<uint32_t, const char*> kNames[] = {{IN_CREATE, "CREATE"},
                                                       {IN_DELETE, "DELETE"},
                                                       {IN_MODIFY, "MODIFY"},
                                                       {IN_ATTRIB, "ATTRIB"},
                                                       {IN_CLOSE_WRITE, "CLOSE_WRITE"},
                                                       {IN_MOVED_FROM, "MOVED_FROM"},
                                                       {IN_MOVED_TO, "MOVED_TO"},
                                                       {IN_MOVE_SELF, "MOVE_SELF"},
                                                       {IN_DELETE_SELF, "DELETE_SELF"},
                                                       {IN_Q_OVERFLOW, "Q_OVERFLOW"},
                                                       {IN_ISDIR, "ISDIR"}};

bool recursive = false;
std::map<int, std::string> paths;

void add(int fd, const std::string& path) {
  uint32_t mask = 0;
  for (const auto& [bit, name] : kNames) mask |= bit;
  const int watch = inotify_add_watch(fd, path.c_str(), mask & ~(IN_Q_OVERFLOW | IN_ISDIR));
  if (watch < 0) return perror(path.c_str());
  paths[watch] = path;
  std::error_code error;
  if (recursive)
    for (const auto& entry : std::filesystem::directory_iterator(path, error))
      if (entry.is_directory() && !entry.is_symlink()) add(fd, entry.path());
}

void print(const inotify_event& event) {
  std::string line = event.wd < 0 ? "" : paths[event.wd];
  if (event.len) line += std::string("/") + event.name;
  for (const auto& [bit, name] : kNames)
    if (event.mask & bit) line += std::string(" ") + name;
  if (!(event.mask & IN_IGNORED)) puts(line.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  const int fd = inotify_init1(IN_CLOEXEC);
  for (int i = 1; i < argc; ++i)
    if (std::string(argv[i]) == "-r")
      recursive = true;
    else
      add(fd, argv[i]);
  puts("ready");
  alignas(inotify_event) char buffer[65536];
  for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;)
    for (char* at = buffer; at < buffer + n;) {
      const auto& event = *reinterpret_cast<inotify_event*>(at);
      if (recursive && event.mask & IN_ISDIR && event.mask & (IN_CREATE | IN_MOVED_TO) && event.len)
        add(fd, paths[event.wd] + "/" + event.name);
      print(event);
      at += sizeof event + event.len;
    }
}
