#include "agent/guest/storage.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "agent/guest/parking.h"
#include "agent/guest/pci.h"
#include "agent/guest/uevents.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/guest_words.h"
#include "libcontainer/base/trace.h"

namespace husk::guest {
namespace {

constexpr const char* kShares = "/run/husk/share";
constexpr const char* kMemories = "/run/husk/shm";
constexpr const char* kDriver = "virtiofs";  // and its file system

bool is_mount_point(const std::string& path) {
  struct stat here, above;
  return stat(path.c_str(), &here) == 0 && stat(kShares, &above) == 0 && here.st_dev != above.st_dev;
}

// A file system whose last mount goes while it is read ahead takes the kernel along (fuse of 6.1: "Busy
// inodes after unmount", then a fault when the read is done). virtiofsd answers one request after the other:
// an answer to ours is behind the reads. Of these 12 are on their way at a time
// (FUSE_DEFAULT_MAX_BACKGROUND).
void wait_for_reads(const std::string& path) {
  constexpr int kRounds = 4;
  struct statx st;
  for (int i = 0; i < kRounds; ++i)
    (void)!statx(AT_FDCWD, path.c_str(), AT_STATX_FORCE_SYNC | AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st);
}

}  // namespace

// Containers in user namespaces of their own pass there.
void prepare_share() {
  make_dirs(path_join(kShares, kShareTag), 0755);
}

void mount_share(const std::string& tag, bool plugged_late) {
  const std::string target = path_join(kShares, tag);
  if (!path_exists(target)) make_dirs(target, 0755);
  if (is_mount_point(target)) return;
  {
    trace::Span span("rescan");
    if (plugged_late && unpark_of(kDriver).empty()) {
      power_slots();
      rescan_devices();
    }
  }
  trace::Span span("mount");
  wait_for_device("share " + tag, [&] {
    if (mount(tag.c_str(), target.c_str(), kDriver, 0, nullptr) == 0) return true;
    // EINVAL is virtiofs' word for a tag that it does not know.
    if (errno == EINVAL || errno == ENOENT || errno == ENODEV || errno == ENXIO) return false;
    throw_errno("mount virtiofs " + tag);
  });
}

SharedMemory::SharedMemory(std::string path, const std::string& size) : path_(std::move(path)) {
  make_dirs(path_, 0755);
  const std::string options = "mode=1777" + (size.empty() ? "" : ",size=" + size);
  if (mount("shm", path_.c_str(), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, options.c_str()) == 0) return;
  int err = errno;
  rmdir(path_.c_str());
  throw_errno("mount tmpfs with " + printable(options), err);
}

SharedMemory::~SharedMemory() {
  umount2(path_.c_str(), MNT_DETACH);
  rmdir(path_.c_str());
}

std::shared_ptr<SharedMemory> SharedMemories::get(const std::string& key, const std::string& size) {
  std::lock_guard lock(mutex_);
  std::erase_if(all_, [](const auto& item) { return item.second.expired(); });
  std::shared_ptr<SharedMemory> memory = all_[key].lock();
  if (!memory) {
    memory = std::make_shared<SharedMemory>(path_join(kMemories, std::to_string(next_++)), size);
    all_[key] = memory;
  }
  return memory;
}

// What cannot be opened is the bind mount's to tell.
Volume::Volume(std::string path) : path_(std::move(path)) {
  UniqueFd(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

// A file is none: it has no mount, and unmounting fails.
Volume::~Volume() {
  wait_for_reads(path_);
  umount2(path_.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);
}

std::shared_ptr<Volume> Volumes::get(const std::string& path) {
  if (!path.starts_with(kShares)) return nullptr;
  std::lock_guard lock(mutex_);
  std::erase_if(all_, [](const auto& item) { return item.second.expired(); });
  std::shared_ptr<Volume> volume = all_[path].lock();
  if (!volume) all_[path] = volume = std::make_shared<Volume>(path);
  return volume;
}

std::shared_ptr<Volume> Volumes::find(const std::string& path) {
  std::lock_guard lock(mutex_);
  const auto found = all_.find(path);
  return found == all_.end() ? nullptr : found->second.lock();
}

}  // namespace husk::guest
