// The host's files in the guest, and memory that containers share.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace husk::guest {

// The place where it will be mounted.
void prepare_share();
// Mounts the virtiofs tag at /run/husk/share/TAG, rescanning until it is there. Doing it twice is fine.
void mount_share(const std::string& tag, bool plugged_late);

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

// A volume's mount in our own mount namespace. FUSE mounts what the host has below the share when somebody
// walks there, in each mount namespace anew, as another file system with locks and pages of its own: here
// first, so that all containers' binds are of this one, and that it outlives the processes that read there.
class Volume {
 public:
  explicit Volume(std::string path);
  ~Volume();

 private:
  const std::string path_;
};

// By path, each as long as somebody holds it. Thread-safe.
class Volumes {
 public:
  // Null where the path is not below the share.
  std::shared_ptr<Volume> get(const std::string& path);
  // Null where nobody holds it.
  std::shared_ptr<Volume> find(const std::string& path);

 private:
  std::mutex mutex_;
  std::map<std::string, std::weak_ptr<Volume>> all_;
};

}  // namespace husk::guest
