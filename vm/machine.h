// What a VM is made of, and the VM itself, whatever VMM runs it. qemu/ is the one place that turns it into
// arguments.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "libcontainer/base/fd.h"
#include "libcontainer/base/process.h"

namespace husk::vm {

enum class Accel { kTcg, kKvm };
enum class MachineType { kQ35, kMicrovm };

struct MachineConfig {
  MachineType type = MachineType::kQ35;
  Accel accel = Accel::kTcg;
  std::string vmm;             // path of qemu-system-x86_64
  std::string firmware;        // -bios; empty: the VMM's default for the machine type
  std::string kernel, initrd;  // paths
  std::string kernel_params;   // the user's, appended to ours
  uint32_t vcpus = 1;
  uint32_t memory_mib = 512;
  uint32_t tcg_tb_size_mib = 32;
  uint32_t hotplug_ports = 8;  // pcie-root-ports for what is plugged later (shares, network cards, disks)
  bool seccomp = true;         // QEMU's own -sandbox
  unsigned long tsc_khz = 0;   // the host's, for a TCG guest that boots; 0: start_qemu() measures it
};

// What a VM starts from besides its configuration.
struct MachineStart {
  // Its RAM: a memfd of memory_mib, which QEMU and virtiofsd map shared. Empty: QEMU makes one of its own.
  UniqueFd memory;
  // It does not boot, but waits for Machine::resume(): kernel and initrd are not needed.
  bool saved = false;
};

// Where something is plugged.
struct Slot {
  std::string id;    // the VMM's
  std::string port;  // the PCI address of its port in the guest: "0000:00:04.0"
};

// A running VM. One per husk-sandbox. Not thread-safe; the destructor kills what still runs.
class Machine {
 public:
  virtual ~Machine() = default;
  // Plugs a vhost-user-fs device, always into the first port; `socket` is connected to a virtiofsd. The guest
  // finds it after a PCI rescan, or where it was when the VM was saved.
  virtual Slot plug_share(const std::string& tag, UniqueFd socket) = 0;
  // Plugs a virtio-net card on an open tap.
  virtual Slot plug_network(UniqueFd tap, const std::string& mac, uint32_t mtu) = 0;
  // The same on QEMU's user-mode stack (vm/net/user_network.h), in the network namespace that QEMU runs in.
  virtual Slot plug_user_network(const std::string& mac, uint32_t mtu) = 0;
  // Plugs a card that leads nowhere.
  virtual Slot plug_dead_card() = 0;
  // Plugs a virtio-blk disk on an open block device, opened for writing unless readonly.
  virtual Slot plug_disk(UniqueFd disk, bool readonly) = 0;
  // Takes a device out, in two steps: in between the guest has to let go of it (turn its slot's power off,
  // which alone will do, too: a guest that parks it is not asked).
  virtual void ask_unplug(const Slot& slot) = 0;
  // Waits until it is out and gives the port back. A card's tap is closed in any case. Throws kTimeout when
  // the guest keeps it: then its port stays taken, and a disk open.
  virtual void finish_unplug(const Slot& slot, std::chrono::milliseconds patience) = 0;
  // Reads the device state of a saved VM and returns when the guest runs on; MachineStart::memory holds its
  // RAM by then. Throws kTimeout; kGuestDied with QEMU's words.
  virtual void resume(UniqueFd state) = 0;
  // Stops the guest and writes its device state to the file; its RAM is what MachineStart::memory holds from
  // then on. Only for a VM into which nothing is plugged. Throws.
  virtual void save(UniqueFd state) = 0;
  // Each can be taken once. The console is what the guest prints on its serial line (SOCK_STREAM).
  virtual UniqueFd take_agent() = 0;
  virtual UniqueFd take_console() = 0;
  virtual pid_t pid() const = 0;
  virtual int pidfd() const = 0;
  // SIGKILL; reaps it. Idempotent, never throws.
  virtual void end() noexcept = 0;
  // How the VMM ended and its last words on stderr, for the error line; empty while it runs.
  virtual std::string last_words() = 0;
};

// Starts QEMU. Returns as soon as the process runs (the guest boots meanwhile; QMP is negotiated on the first
// plug). Must be called from the main thread: the VMM dies with the thread that made it (PR_SET_PDEATHSIG).
std::unique_ptr<Machine> start_qemu(const MachineConfig& config, MachineStart start = {});

// "kvm", "tcg" or "auto" → what will really run. auto: KVM only where /dev/kvm opens, the CPU has vmx or svm,
// and a one-instruction guest (hlt) really runs on it within half a second; can't hang. The answer for this
// boot is kept in `cache_folder` (empty: not kept). kvm: throws where /dev/kvm does not open or the CPU has
// neither flag.
Accel choose_accel(const std::string& option, const std::string& cache_folder);

// The TSC's frequency, which a TCG guest must be told (it hangs or misjudges it otherwise): two looks at the
// clocks. What is done between them costs nothing.
class TscMeter {
 public:
  // In kHz. Waits until 5 ms have passed since this was made.
  unsigned long khz() const;

 private:
  struct Moment {
    unsigned long long ns = 0, ticks = 0;
  };
  static Moment now();
  Moment start_ = now();
};

}  // namespace husk::vm
