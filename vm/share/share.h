// How a host directory reaches the guest: one virtiofsd for the whole VM shows one folder; rootfs and volumes
// are bind mounts below it. The mounts live in the caller's (husk-sandbox's) private mount namespace and end
// with it.
#pragma once

#include <memory>
#include <string>

#include "libcontainer/base/fd.h"
#include "libcontainer/base/process.h"

namespace husk::vm {

struct ShareConfig {
  std::string virtiofsd;       // path of the C virtiofsd
  std::string cache = "auto";  // auto, always, none
  std::string folder;          // an empty folder of ours, becomes the share's root
};

// Makes this process's mount namespace private to it: unshare, everything rslave (the host's mounts still
// come in, ours never go out). Call once, single-threaded.
void enter_private_mount_namespace();

class Share {
 public:
  // Makes the folder a shared mount of its own (so that later mounts reach virtiofsd's namespace) and starts
  // virtiofsd. From the main thread (PR_SET_PDEATHSIG). Throws with virtiofsd's own words.
  static std::unique_ptr<Share> start(const ShareConfig& config);
  ~Share();  // ends virtiofsd, unmounts

  // The connected vhost-user socket for Machine::plug_share; once.
  UniqueFd take_socket();
  // Binds a host file or folder (rbind) to FOLDER/CONTAINER/NAME; returns that path relative to the share's
  // root. The mount is read-only where asked. Throws.
  std::string add(const std::string& container, const std::string& name, const std::string& source,
                  bool readonly);
  // Unmounts everything below FOLDER/CONTAINER and removes it.
  void remove(const std::string& container);
  pid_t pid() const;
  int pidfd() const;         // readable when virtiofsd has ended
  std::string last_words();  // of virtiofsd, as Machine::last_words

  static constexpr const char* kTag = "husk";
  static constexpr const char* kGuestRoot = "/run/husk/share/husk";  // where the agent mounts kTag

 private:
  Share() = default;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace husk::vm
