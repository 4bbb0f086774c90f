// VMs that run and wait for a container: made by `husk pool`, taken by create. There is no daemon: each is a
// husk-sandbox of its own, which listens in FOLDER/KEY/PID.START (its pid and start time) until somebody
// takes it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "libcontainer/base/fd.h"
#include "vm/sandbox/control.h"

namespace husk::vm {

// What take() found. From then on the VM is its owner's, and ends when the connection does before a container
// was created.
struct PooledVm {
  std::string path;         // of its folder, to be renamed to where it shall live
  UniqueFd connection;      // `boot` has been sent and answered; `mounts` and `create` come next. Empty: none
  std::vector<pid_t> pids;  // husk-sandbox's, QEMU's and virtiofsd's, in this order
  explicit operator bool() const { return static_cast<bool>(connection); }
};

struct PoolInfo {
  std::string key;
  pid_t pid = 0;  // husk-sandbox's
  uint32_t vcpus = 0, memory_mib = 0;
  bool answers = false;  // else it is dead, stuck, or has just been taken
};

class Pool {
 public:
  explicit Pool(const std::string& template_folder);

  // Which VMs are alike: the machine, and the programs that run already. Another husk finds none of these.
  static std::string key(const BootRequest& boot);

  // Whether nobody ever filled it: so far it costs a look.
  bool empty() const;

  // A waiting VM for boot, on the file system of `root`; what is dead or does not answer is removed on the
  // way. Of many callers each gets another one. Never throws: whatever is wrong, the VM is started the
  // ordinary way.
  PooledVm take(const BootRequest& boot, const std::string& root) const noexcept;

  // Starts as many as are missing of `wanted` and waits until they are ready; returns how many were started.
  // boot: without folder and id. Single-threaded callers only; throws.
  size_t fill(const BootRequest& boot, size_t wanted) const;
  // Where fill() puts them: a folder from which something goes when one is taken.
  std::string place(const BootRequest& boot) const;

  std::vector<PoolInfo> list() const;
  // Ends all that wait, and removes what dead ones have left. How many ended.
  size_t drain() const;

 private:
  std::string folder_;
};

}  // namespace husk::vm
