#include "agent/guest/boot.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "agent/guest/log.h"
#include "libcontainer/base/error.h"
#include "libcontainer/base/file.h"
#include "libcontainer/base/guest_words.h"
#include "libcontainer/linux/netlink.h"
#include "libcontainer/linux/text.h"

namespace husk::guest {
namespace {

constexpr rlim_t kMaxFiles = 1048576;  // what engines' daemons run with, and containers inherit
constexpr const char* kModules = "/modules";
constexpr const char* kModuleList = "/modules.load";
constexpr long kRamfs = 0x858458f6, kTmpfs = 0x01021994;  // RAMFS_MAGIC, TMPFS_MAGIC

int64_t boot_began = 0;

// pivot_root(2) refuses while "/" is the initramfs, which has no mount below it. A bind of it, moved on top
// of itself, has one, and costs no copy. Before anything else is mounted: what is mounted already would stay
// behind.
void make_real_root() {
  struct statfs fs;
  check(statfs("/", &fs), "statfs /");
  if (fs.f_type != kRamfs && fs.f_type != kTmpfs) return;
  make_dirs("/mnt");
  check(mount("/", "/mnt", nullptr, MS_BIND, nullptr), "bind /");
  check(chdir("/mnt"), "chdir /mnt");
  check(mount(".", "/", nullptr, MS_MOVE, nullptr), "move /mnt to /");
  check(chroot("."), "chroot");
  check(chdir("/"), "chdir /");
}

struct BootMount {
  const char *type, *target;
  unsigned long flags;
  const char* options;
  bool required;
};

constexpr unsigned long kSafe = MS_NOSUID | MS_NODEV | MS_NOEXEC;
constexpr BootMount kMounts[] = {
    {"proc", "/proc", kSafe, nullptr, true},
    {"sysfs", "/sys", kSafe, nullptr, true},
    {"devtmpfs", "/dev", MS_NOSUID, "mode=0755", true},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666", true},
    {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777", true},
    {"mqueue", "/dev/mqueue", kSafe, nullptr, false},
    {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755", true},
    {"tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777", true},
    {"cgroup2", "/sys/fs/cgroup", kSafe, nullptr, true},
};

void mount_all() {
  umask(022);
  for (const BootMount& m : kMounts) {
    if (mkdir(m.target, 0755) != 0 && errno != EEXIST && m.required)
      throw_errno(std::string("mkdir ") + m.target);
    if (mount(m.type, m.target, m.type, m.flags, m.options) == 0) continue;
    if (errno == EBUSY && m.type == std::string("devtmpfs")) continue;  // the kernel has done it
    if (m.required) throw_errno(std::string("mount ") + m.target);
  }
  // What programs expect of /dev beside devices.
  symlink("/proc/self/fd", "/dev/fd");
  symlink("/proc/self/fd/0", "/dev/stdin");
  symlink("/proc/self/fd/1", "/dev/stdout");
  symlink("/proc/self/fd/2", "/dev/stderr");
}

// Debian's kernel has as modules what husk's own has built in. The list is in the order of dependence.
void load_modules() {
  if (!path_exists(kModuleList)) return;
  const std::string names = read_file(kModuleList);
  for (std::string_view name : split(names, '\n')) {
    UniqueFd file = open_file(path_join(kModules, base_name(name)), O_RDONLY);
    if (syscall(SYS_finit_module, file.get(), "", 0) != 0 && errno != EEXIST)
      log_warning("module " + std::string(name) + ": errno " + std::to_string(errno));
  }
}

// No container can change the program that the next one starts from (CVE-2019-5736), and none needs a copy.
void make_root_readonly() {
  check(mount(nullptr, "/", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), "making / read-only");
}

void set_limits() {
  rlimit files{kMaxFiles, kMaxFiles};
  // The ceiling of fs.nr_open is that number by default; without the right to it we keep what we have.
  if (setrlimit(RLIMIT_NOFILE, &files) != 0) log_warning("RLIMIT_NOFILE: errno " + std::to_string(errno));
  // The kernel's own is by memory; who is in a user namespace could not raise it to what an engine asks for.
  rlimit processes{RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_NPROC, &processes);
  rlimit core{0, RLIM_INFINITY};
  setrlimit(RLIMIT_CORE, &core);
}

}  // namespace

void boot() {
  boot_began = uptime_ns();
  make_real_root();
  mount_all();
  reboot(RB_DISABLE_CAD);  // ctrl-alt-del would end the VM behind the host's back
  load_modules();
  set_limits();
  make_root_readonly();
  try {
    set_link_up("lo");
  } catch (const Error& e) {
    log_warning(e.message());  // a kernel without a network is still good for --network none
  }
}

void quieten() noexcept {
  try {
    write_file("/proc/sys/vm/compaction_proactiveness", "0");
    write_file("/proc/sys/vm/stat_interval", "10");  // seconds
  } catch (const std::exception& e) {
    log_warning(e.what());
  }
}

int64_t boot_began_ns() {
  return boot_began;
}

int64_t uptime_ns() {
  timespec time{};
  clock_gettime(CLOCK_BOOTTIME, &time);
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

bool is_template() {
  std::string words = " " + read_file("/proc/cmdline");
  std::ranges::replace(words, '\n', ' ');
  return words.find(std::string(" ") + kTemplateParameter + " ") != words.npos;
}

void announce_template() {
  write_file("/dev/console", std::string(kReadyToBeSaved) + "\n");
}

void power_off(const char* reason) noexcept {
  if (reason && *reason) {
    int console = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
    dprintf(console >= 0 ? console : 2, "husk-agent: %s\n", reason);
  }
  sync();
  if (getpid() == 1) {
    reboot(RB_POWER_OFF);
    reboot(RB_AUTOBOOT);  // without ACPI the host's -no-reboot makes an end of this
  }
  _exit(reason && *reason ? 1 : 0);
}

}  // namespace husk::guest
