// How a host directory reaches the guest: one virtiofsd for the whole VM shows one folder; rootfs and volumes
// are bind mounts below it. Sources are looked up where the engine's mounts are seen, by husk; the mounts
// themselves live in husk-sandbox's private mount namespace and end with it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "libcontainer/base/fd.h"
#include "libcontainer/base/process.h"
#include "vm/helper_process.h"

namespace husk::vm {

struct ShareConfig {
  std::string virtiofsd;       // path of the C virtiofsd
  std::string cache = "auto";  // auto, always, none
  std::string folder;          // an empty folder of ours, becomes the share's root; may be renamed later
};

// A virtiofsd on an empty folder as it is, for a VM that is to be saved; and QEMU's end of its socket.
class PlainShare {
 public:
  explicit PlainShare(const ShareConfig& config);
  UniqueFd take_socket() { return std::move(socket_); }

 private:
  UniqueFd socket_;
  std::optional<HelperProcess> virtiofsd_;
};

// Makes this process's mount namespace private to it: unshare, everything rslave (the host's mounts still
// come in, ours never go out). Call once, single-threaded.
void enter_private_mount_namespace();

struct ShareKind {
  bool readonly = false;  // all the way down
  bool follows = false;   // mounts that the host makes below it later appear in it (rslave)
};
// What is mounted at source in the caller's mount namespace, with all below it, as a mount that is nowhere
// yet. Throws.
UniqueFd clone_for_share(const std::string& source, const ShareKind& kind);
// A new overlay of the host's (data: mount(2)'s), seen nowhere but in the fd. place: any folder. Only for
// single-threaded callers.
UniqueFd overlay_for_share(const std::string& data, const std::string& place, const ShareKind& kind);
// The name by which containers of one VM share a volume: the same for the same folder or file of the same
// mount. Each mount is a file system of its own to the guest, whose locks, shared mappings and cached pages
// are its kernel's: what two containers have in common has to be one. Throws.
std::string volume_name(const std::string& source, const ShareKind& kind);

class Share {
 public:
  // Makes the folder a shared mount of its own (so that later mounts reach virtiofsd's namespace) and starts
  // virtiofsd. From the main thread (PR_SET_PDEATHSIG). Throws with virtiofsd's own words.
  static std::unique_ptr<Share> start(const ShareConfig& config);
  ~Share();  // ends virtiofsd, unmounts

  // The connected vhost-user socket for Machine::plug_share; once.
  UniqueFd take_socket();
  // Attaches what clone_for_share() returned, in whatever process, at FOLDER/CONTAINER/NAME; under a
  // volume_name() once for all containers that add it, beside theirs. Throws.
  void add(const std::string& container, const std::string& name, UniqueFd tree);
  // Where the guest finds that.
  static std::string guest_path(const std::string& container, const std::string& name);
  // Unmounts everything below FOLDER/CONTAINER and removes it, and volumes that no other container has added.
  void remove(const std::string& container);
  std::vector<pid_t> pids() const;  // virtiofsd's
  int pidfd() const;                // readable when virtiofsd has ended
  std::string last_words();         // of virtiofsd, as Machine::last_words

  static constexpr const char* kTag = "husk";
  static constexpr const char* kGuestRoot = "/run/husk/share/husk";  // where the agent mounts kTag

 private:
  Share() = default;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace husk::vm
