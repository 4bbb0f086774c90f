#include "vm/share/fanotify.h"

#include <fcntl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "libcontainer/base/error.h"

namespace husk::vm {
namespace {

constexpr size_t kBuffer = 64u << 10;
constexpr int kMaxReads = 64;  // at a time: whoever is faster than we are loses

#ifndef AT_HANDLE_FID
constexpr int AT_HANDLE_FID = 0x200;  // since 6.5: a handle that need not lead back to the file
#endif

FileKey key_of(const void* fsid, const file_handle& handle) {
  FileKey key(static_cast<const char*>(fsid), sizeof(fsid_t));
  key.append(reinterpret_cast<const char*>(&handle.handle_type), sizeof handle.handle_type);
  return key.append(reinterpret_cast<const char*>(handle.f_handle), handle.handle_bytes);
}

// `bytes` begins with the event; its records are aligned to 4 bytes, as the event is.
FileEvent parse(const fanotify_event_metadata& metadata, const char* bytes) {
  FileEvent event;
  event.mask = metadata.mask;
  event.pid = metadata.pid;
  const char* record = bytes + metadata.metadata_len;
  const char* end = bytes + metadata.event_len;
  while (record < end) {
    const auto& info = *reinterpret_cast<const fanotify_event_info_fid*>(record);
    const auto& handle = *reinterpret_cast<const file_handle*>(info.handle);
    const FileKey key = key_of(&info.fsid, handle);
    switch (info.hdr.info_type) {
      case FAN_EVENT_INFO_TYPE_DFID_NAME:
        event.name = reinterpret_cast<const char*>(handle.f_handle) + handle.handle_bytes;
        [[fallthrough]];
      case FAN_EVENT_INFO_TYPE_DFID:
        event.folder = key;
        break;
      case FAN_EVENT_INFO_TYPE_FID:
        event.file = key;
    }
    record += info.hdr.len;
  }
  return event;
}

}  // namespace

FileKey file_key(int fd) {
  alignas(file_handle) std::array<char, sizeof(file_handle) + MAX_HANDLE_SZ> buffer{};
  auto& handle = *reinterpret_cast<file_handle*>(buffer.data());
  int mount = 0;
  const auto get = [&](int flags) {
    handle.handle_bytes = MAX_HANDLE_SZ;
    return name_to_handle_at(fd, "", &handle, &mount, AT_EMPTY_PATH | flags);
  };
  if (get(AT_HANDLE_FID) != 0) check(get(0), "name_to_handle_at");
  struct statfs fs {};
  check(fstatfs(fd, &fs), "statfs");
  return key_of(&fs.f_fsid, handle);
}

Fanotify::Fanotify() {
  constexpr unsigned kFlags =
      FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_REPORT_DFID_NAME | FAN_CLOEXEC | FAN_NONBLOCK;
  // Unlimited is for the privileged only, and so are the pids.
  int fd = fanotify_init(kFlags | FAN_UNLIMITED_MARKS, O_RDONLY);
  privileged_ = fd >= 0;
  if (fd < 0 && errno == EPERM) fd = fanotify_init(kFlags, O_RDONLY);
  if (fd < 0 && (errno == EINVAL || errno == ENOSYS))
    throw Error(ErrorKind::kUnsupported, "fanotify_init: the kernel's is too old", errno);
  fd_.reset(check(fd, "fanotify_init"));
}

void Fanotify::mark(int fd, uint64_t mask) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  check(fanotify_mark(fd_.get(), FAN_MARK_ADD, mask, AT_FDCWD, path.c_str()), "fanotify_mark");
}

std::vector<FileEvent> Fanotify::read(bool& lost) {
  std::vector<FileEvent> events;
  alignas(fanotify_event_metadata) std::array<char, kBuffer> buffer;
  for (int i = 0; i < kMaxReads; ++i) {
    const ssize_t n = ::read(fd_.get(), buffer.data(), buffer.size());
    if (n <= 0) break;
    fanotify_event_metadata metadata;  // a copy: not each is where 8 bytes may be read
    const char* end = buffer.data() + n;
    for (const char* at = buffer.data(); at + sizeof metadata <= end; at += metadata.event_len) {
      memcpy(&metadata, at, sizeof metadata);
      if (metadata.event_len < sizeof metadata || at + metadata.event_len > end) break;
      if (metadata.mask & FAN_Q_OVERFLOW)
        lost = true;
      else
        events.push_back(parse(metadata, at));
    }
  }
  return events;
}

}  // namespace husk::vm
