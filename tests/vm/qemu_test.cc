// Real QEMU, real virtiofsd, a real kernel where one is there (HUSK_TEST_KERNEL, or build/guest/vmlinux).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/if_tun.h>
#include <linux/loop.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstring>

#include "libcontainer/base/deadlines.h"
#include "tests/base/temp_folder.h"
#include "tests/vm/in_child.h"
#include "tests/vm/tiny_guest.h"
#include "vm/machine.h"

namespace husk::vm {
namespace {

constexpr const char* kQemu = "/usr/bin/qemu-system-x86_64";
constexpr const char* kVirtiofsd = "/usr/lib/qemu/virtiofsd";
using std::chrono::steady_clock;

long since(steady_clock::time_point start) {
  return static_cast<long>((steady_clock::now() - start) / std::chrono::milliseconds(1));
}

class QemuTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (access(kQemu, X_OK) != 0) GTEST_SKIP() << kQemu << " is not installed";
    config.vmm = kQemu;
    config.kernel = test_kernel();
    config.memory_mib = 256;
  }
  void need_guest() {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    if (config.kernel.empty()) GTEST_SKIP() << "no guest kernel: make guest, or set HUSK_TEST_KERNEL";
    if (access(kBusybox, X_OK) != 0) GTEST_SKIP() << "busybox-static is not installed";
    config.initrd = folder / "initrd";
    write_file(config.initrd, tiny_initrd(), true);
    make_dirs(folder / "share");
    make_dirs(folder / "data");
    write_file(folder / "data/file", "from the host\n", true);
  }

  TempFolder folder;
  MachineConfig config;
};

UniqueFd open_tap() {
  UniqueFd fd = open_file("/dev/net/tun", O_RDWR);
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  strcpy(request.ifr_name, "husktest%d");
  check(ioctl(fd.get(), TUNSETIFF, &request), "TUNSETIFF");
  return fd;
}

bool ends_with(const std::string& text, const std::string& tail) {
  return text.size() >= tail.size() && text.compare(text.size() - tail.size(), tail.size(), tail) == 0;
}

TEST_F(QemuTest, ItsLastWordsNameTheCause) {
  config.kernel = "/nonexistent/kernel";
  auto machine = start_qemu(config);
  ASSERT_TRUE(wait_pidfd(machine->pidfd(), std::chrono::seconds(20)));
  EXPECT_NE(machine->last_words().find("exit code 1: "), std::string::npos) << machine->last_words();
  EXPECT_NE(machine->last_words().find("/nonexistent/kernel"), std::string::npos) << machine->last_words();
  try {
    machine->plug_network(open_file("/dev/null", O_RDONLY), "52:54:00:00:00:01", 1500);
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kGuestDied);
    EXPECT_NE(e.message().find("/nonexistent/kernel"), std::string::npos) << e.message();
  }
  machine->end();
  config.vmm = "/nonexistent/qemu";
  EXPECT_THROW(start_qemu(config), Error);
}

TEST_F(QemuTest, SharesAndCardsArePluggedIntoARunningGuest) {
  need_guest();
  if (IsSkipped()) return;
  EXPECT_EQ(in_child([&] {
              check(unshare(CLONE_NEWNET), "unshare");
              auto start = steady_clock::now();
              auto share = Share::start({kVirtiofsd, "auto", folder / "share"});
              auto machine = start_qemu(config);
              UniqueFd agent = machine->take_agent();
              share->add("c1", "data", clone_for_share(folder / "data", {}));
              machine->plug_share(Share::kTag, share->take_socket());
              fprintf(stderr, "plugged: %ld ms\n", since(start));
              require(guest_run(agent.get(), "true") == "=0", "the guest answers");
              fprintf(stderr, "guest runs: %ld ms\n", since(start));
              std::string out = guest_run(agent.get(), "echo 1 >/sys/bus/pci/rescan");
              fprintf(stderr, "rescanned: %ld ms\n", since(start));
              out = guest_run(agent.get(), "mount -t virtiofs husk /mnt && cat /mnt/c1/data/file");
              fprintf(stderr, "share mounted: %ld ms\n", since(start));
              require(out == "from the host\n=0", "the file: " + out);
              // Bound after the guest mounted the share: it has to come through to virtiofsd's own mount
              // namespace.
              share->add("c2", "late", clone_for_share(folder / "data", {true, false}));
              out = guest_run(agent.get(),
                              "cat /mnt/c2/late/file; echo x >/mnt/c1/data/new; echo x >/mnt/c2/late/no");
              require(out.find("from the host") == 0, "the late file: " + out);
              require(out.find("Read-only") != std::string::npos, "a read-only bind: " + out);
              require(read_file(folder / "data/new") == "x\n", "what the guest wrote");
              out = guest_run(agent.get(), "echo x >/mnt/planted");
              require(ends_with(out, "=1"), "a read-only share root: " + out);
              guest_run(agent.get(), "umount /mnt/c2/late");
              share->remove("c2");
              require(!path_exists(folder / "share/c2"), "removed");

              machine->plug_network(open_tap(), "52:54:00:12:34:56", 1400);
              out = guest_run(
                  agent.get(),
                  "echo 1 >/sys/bus/pci/rescan; cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu");
              require(out == "52:54:00:12:34:56\n1400\n=0", "the card: " + out);
              require(machine->last_words().empty(), "no words yet");
              start = steady_clock::now();
              machine->end();
              fprintf(stderr, "ended: %ld ms\n", since(start));
              machine->end();
              require(machine->last_words() == "killed by signal 9", machine->last_words());
            }),
            "");
}

// After the boot, with several CPUs, and with memory above the PCI hole.
TEST_F(QemuTest, EveryPortWorksInALargerMachine) {
  need_guest();
  if (IsSkipped()) return;
  config.vcpus = 2;
  config.memory_mib = 4096;
  EXPECT_EQ(in_child([&] {
              check(unshare(CLONE_NEWNET), "unshare");
              auto share = Share::start({kVirtiofsd, "auto", folder / "share"});
              auto machine = start_qemu(config);
              UniqueFd agent = machine->take_agent();
              require(guest_run(agent.get(), "nproc") == "2\n=0", "two CPUs");
              machine->plug_share(Share::kTag, share->take_socket());
              for (uint32_t i = 1; i < config.hotplug_ports; ++i)
                machine->plug_network(open_tap(), "52:54:00:00:00:0" + std::to_string(i), 1500);
              try {
                machine->plug_network(open_tap(), "52:54:00:00:00:99", 1500);
                require(false, "no port left");
              } catch (const Error& e) {
                require(e.kind() == ErrorKind::kUnsupported, e.message());
              }
              std::string out =
                  guest_run(agent.get(), "echo 1 >/sys/bus/pci/rescan; ls /sys/class/net | grep -c eth");
              require(out == "7\n=0", "7 cards: " + out);
              out = guest_run(agent.get(), "mount -t virtiofs husk /mnt");
              require(out == "=0", "the share: " + out);
            }),
            "");
}

TEST_F(QemuTest, AnUnpluggedCardsPortIsUsedAgain) {
  need_guest();
  if (IsSkipped()) return;
  EXPECT_EQ(in_child([&] {
              check(unshare(CLONE_NEWNET), "unshare");
              config.hotplug_ports = 2;  // the first is the share's

              auto machine = start_qemu(config);
              UniqueFd agent = machine->take_agent();
              for (const std::string mac : {"52:54:00:00:00:01", "52:54:00:00:00:02"}) {
                const Slot card = machine->plug_network(open_tap(), mac, 1500);
                const std::string port = "/sys/bus/pci/devices/" + card.port;
                std::string out = guest_run(
                    agent.get(), "echo 1 >/sys/bus/pci/rescan; cat " + port + "/*/virtio*/net/*/address");
                require(out == mac + "\n=0", "the card: " + out);
                machine->ask_unplug(card);
                out = guest_run(agent.get(), "for d in " + port + "/0*; do echo 1 >$d/remove; done; slot " +
                                                 port + " 007; slot " + port + " 001");
                require(out == "=0", "letting go: " + out);
                machine->finish_unplug(card, deadline::kUnplug);
                out = guest_run(agent.get(), "echo 1 >/sys/bus/pci/rescan; ls /sys/class/net | grep -c eth");
                require(out.find("0\n") == 0, "no card is left: " + out);
                require(if_nametoindex("husktest0") == 0, "the tap is closed");
              }
              // A guest that keeps it keeps its port only.
              const Slot card = machine->plug_network(open_tap(), "52:54:00:00:00:03", 1500);
              machine->ask_unplug(card);
              try {
                machine->finish_unplug(card, std::chrono::milliseconds(100));
                require(false, "a timeout");
              } catch (const Error& e) {
                require(e.kind() == ErrorKind::kTimeout, e.message());
              }
              require(if_nametoindex("husktest0") == 0, "the tap is closed all the same");
              require(guest_run(agent.get(), "true") == "=0", "the guest lives");
            }),
            "");
}

// A loop device, or an empty path.
std::string attach_loop(const std::string& file) {
  UniqueFd image = open_file(file, O_RDWR), control = UniqueFd(open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  for (int tries = 0; control && tries < 5; ++tries) {
    const int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
    const std::string path = "/dev/loop" + std::to_string(number);
    const UniqueFd loop(open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (number >= 0 && loop && ioctl(loop.get(), LOOP_SET_FD, image.get()) == 0) return path;
  }
  return "";
}

TEST_F(QemuTest, ADiskAndItsPort) {
  need_guest();
  if (IsSkipped()) return;
  const std::string image = folder / "image";
  write_file(image, std::string(1 << 20, 'a'), true);
  const std::string path = attach_loop(image);
  if (path.empty()) GTEST_SKIP() << "no loop devices";
  EXPECT_EQ(in_child([&] {
              config.hotplug_ports = 2;  // the first is the share's

              auto machine = start_qemu(config);
              UniqueFd agent = machine->take_agent();
              for (const bool readonly : {true, false}) {
                const Slot disk =
                    machine->plug_disk(open_file(path, readonly ? O_RDONLY : O_RDWR | O_EXCL), readonly);
                const std::string port = "/sys/bus/pci/devices/" + disk.port;
                std::string out =
                    guest_run(agent.get(),
                              "echo 1 >/sys/bus/pci/rescan; cat /sys/block/vda/size /sys/block/vda/ro; "
                              "head -c 3 /dev/vda; echo; echo bbb >/dev/vda");
                require(out.find(readonly ? "2048\n1\naaa\n" : "2048\n0\naaa\n=0") == 0, "the disk: " + out);
                machine->ask_unplug(disk);
                guest_run(agent.get(), "for d in " + port + "/0*; do echo 1 >$d/remove; done; slot " + port +
                                           " 007; slot " + port + " 001");
                machine->finish_unplug(disk, deadline::kUnplug);
              }
              require(open_file(path, O_RDWR | O_EXCL).get() >= 0, "nobody has it any more");
              require(read_file(image).substr(0, 4) == "bbb\n", "what the guest wrote");
            }),
            "");
  ioctl(open_file(path, O_RDWR).get(), LOOP_CLR_FD);
}

TEST_F(QemuTest, AFailedPlugLeavesThePortFree) {
  need_guest();
  if (IsSkipped()) return;
  EXPECT_EQ(in_child([&] {
              check(unshare(CLONE_NEWNET), "unshare");
              config.hotplug_ports = 2;  // the first is the share's

              auto machine = start_qemu(config);
              try {
                machine->plug_network(open_tap(), "not a MAC", 1500);
                require(false, "an error");
              } catch (const Error& e) {
                require(e.kind() == ErrorKind::kInternal, e.message());
              }
              machine->plug_network(open_tap(), "52:54:00:00:00:01", 1500);
            }),
            "");
}

TEST_F(QemuTest, MicrovmTakesAShareAfterItsBoot) {
  need_guest();
  if (IsSkipped()) return;
  config.type = MachineType::kMicrovm;
  EXPECT_EQ(in_child([&] {
              auto share = Share::start({kVirtiofsd, "auto", folder / "share"});
              share->add("c1", "data", clone_for_share(folder / "data", {true, false}));
              auto machine = start_qemu(config);
              UniqueFd agent = machine->take_agent();
              require(guest_run(agent.get(), "true") == "=0", "an answer");
              machine->plug_share(Share::kTag, share->take_socket());
              std::string out = guest_run(
                  agent.get(),
                  "echo 1 >/sys/bus/pci/rescan; mount -t virtiofs husk /mnt; cat /mnt/c1/data/file");
              require(out == "from the host\n=0", "the share: " + out);
            }),
            "");
}

TEST_F(QemuTest, DiesWithItsParent) {
  need_guest();
  if (IsSkipped()) return;
  auto [ours, theirs] = make_pipe();
  pid_t parent = fork();
  if (parent == 0) {
    auto machine = start_qemu(config);
    std::string pid = std::to_string(machine->pid());
    write_all(theirs.get(), pid, "pipe");
    pause();
  }
  char text[32] = {};
  ASSERT_GT(read(ours.get(), text, sizeof text - 1), 0);
  UniqueFd qemu = open_pidfd(atoi(text));
  EXPECT_FALSE(wait_pidfd(qemu.get(), std::chrono::milliseconds(100)));
  kill(parent, SIGKILL);
  EXPECT_TRUE(wait_pidfd(qemu.get(), std::chrono::seconds(10)));
  waitpid(parent, nullptr, 0);
}

}  // namespace
}  // namespace husk::vm
