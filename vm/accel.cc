// Whether KVM really works here: asked of KVM itself, by a guest of one instruction.
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "vm/machine.h"

namespace husk::vm {
namespace {

constexpr std::chrono::milliseconds kProbeTime{500};

// A paravirtual KVM opens like a real one and then spins for ever: without these flags it isn't worth a try.
bool cpu_has_virtualization() {
  std::string info = " " + read_file("/proc/cpuinfo");
  size_t flags = info.find("\nflags");
  if (flags == std::string::npos) return false;
  std::string line = info.substr(flags + 1, info.find('\n', flags + 1) - flags - 1) + " ";
  return line.find(" vmx ") != std::string::npos || line.find(" svm ") != std::string::npos;
}

// Runs `hlt` in real mode. In a forked child: system calls only. True if the guest came to its halt.
bool run_halt() {
  int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (kvm < 0 || ioctl(kvm, KVM_GET_API_VERSION, 0) != KVM_API_VERSION) return false;
  int vm = ioctl(kvm, KVM_CREATE_VM, 0);
  if (vm < 0) return false;
  constexpr size_t kPage = 4096;
  void* memory = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return false;
  memset(memory, 0xf4, kPage);  // hlt
  kvm_userspace_memory_region region{};
  region.memory_size = kPage;
  region.userspace_addr = reinterpret_cast<uintptr_t>(memory);
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region) != 0) return false;
  int cpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
  if (cpu < 0 || size <= 0) return false;
  void* mapped = mmap(nullptr, static_cast<size_t>(size), PROT_READ | PROT_WRITE, MAP_SHARED, cpu, 0);
  kvm_sregs sregs;
  kvm_regs regs{};
  if (mapped == MAP_FAILED || ioctl(cpu, KVM_GET_SREGS, &sregs) != 0) return false;
  sregs.cs.base = 0;
  sregs.cs.selector = 0;
  regs.rflags = 2;  // the one bit that is always set
  if (ioctl(cpu, KVM_SET_SREGS, &sregs) != 0 || ioctl(cpu, KVM_SET_REGS, &regs) != 0) return false;
  return ioctl(cpu, KVM_RUN, 0) == 0 && static_cast<kvm_run*>(mapped)->exit_reason == KVM_EXIT_HLT;
}

bool kvm_works() {
  if (access("/dev/kvm", R_OK | W_OK) != 0 || !cpu_has_virtualization()) return false;
  Child child;
  child.pid = fork();
  if (child.pid < 0) return false;
  if (child.pid == 0) {
    alarm(2);  // also when we are killed meanwhile
    _exit(run_halt() ? 0 : 1);
  }
  child.pidfd = open_pidfd(child.pid);
  if (wait_pidfd(child.pidfd.get(), kProbeTime)) return wait_child(child, kProbeTime).shell_code() == 0;
  kill(child.pid, SIGKILL);
  // One that even SIGKILL does not end stays a zombie-to-be: better than to hang with it.
  if (wait_pidfd(child.pidfd.get(), kProbeTime)) kill_and_reap(child);
  return false;
}

// What is asked for by name is not probed, but must not spin until the guest's deadline either.
void require_kvm() {
  if (access("/dev/kvm", R_OK | W_OK) != 0) throw_errno("accel = \"kvm\": /dev/kvm");
  if (!cpu_has_virtualization())
    throw Error(ErrorKind::kUnsupported, "accel = \"kvm\": the CPU has neither vmx nor svm");
}

// "BOOT_ID kvm": an answer holds until the next boot.
std::string cache_line(Accel accel) {
  return read_file("/proc/sys/kernel/random/boot_id") + (accel == Accel::kKvm ? "kvm\n" : "tcg\n");
}

}  // namespace

Accel choose_accel(const std::string& option, const std::string& cache_folder) {
  if (option == "kvm") {
    require_kvm();
    return Accel::kKvm;
  }
  if (option == "tcg") return Accel::kTcg;
  if (!option.empty() && option != "auto")
    throw Error(ErrorKind::kInvalid, "accel \"" + printable(option) + "\" is not auto, kvm or tcg");
  std::string cache = cache_folder.empty() ? "" : path_join(cache_folder, "accel");
  if (!cache.empty() && path_exists(cache)) {
    try {
      std::string known = read_file(cache, 256);
      if (known == cache_line(Accel::kTcg)) return Accel::kTcg;
      if (known == cache_line(Accel::kKvm)) return Accel::kKvm;
    } catch (const Error&) {
      // Unreadable: ask again.
    }
  }
  Accel accel = kvm_works() ? Accel::kKvm : Accel::kTcg;
  if (!cache.empty()) {
    try {
      write_file_atomic(cache, cache_line(accel));
    } catch (const Error&) {
      // Only costs the next one a probe.
    }
  }
  return accel;
}

}  // namespace husk::vm
