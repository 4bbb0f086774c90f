// The host's files in the guest, and memory that containers share.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace husk::guest {

// Mounts the virtiofs tag at /run/husk/share/TAG, rescanning until it is there. Doing it twice is fine.
void mount_share(const std::string& tag, bool plugged_late);
void unmount_share(const std::string& tag);

// A tmpfs that several containers have as their /dev/shm. Its end unmounts it; who still has it keeps the
// files.
class SharedMemory {
 public:
  // size: of tmpfs(5), or empty. Throws.
  SharedMemory(std::string path, const std::string& size);
  ~SharedMemory();
  const std::string& path() const { return path_; }

 private:
  const std::string path_;
};

// By key, each as long as somebody holds it. Thread-safe.
class SharedMemories {
 public:
  std::shared_ptr<SharedMemory> get(const std::string& key, const std::string& size);

 private:
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<SharedMemory>> all_;
  unsigned next_ = 0;  // a path is never used again
};

}  // namespace husk::guest
