#include "vm/qemu/command_line.h"

#include <fmt/format.h>

#include <algorithm>

#include "libcontainer/base/error.h"

namespace husk::vm {
namespace {

constexpr size_t kMaxCommandLine = 2047;  // COMMAND_LINE_SIZE of x86, less the NUL
constexpr unsigned kGuestHz = 250;        // CONFIG_HZ of husk's kernel and of Debian's
// 32 devices on pcie.0: the host bridge, the ISA bridge, the two virtio devices and some room; 8 ports to a
// device.
constexpr uint32_t kPortsPerSlot = 8, kFirstPortSlot = 4, kMaxPorts = 64;

using Args = std::vector<std::string>;

void add(Args& args, std::initializer_list<std::string> more) {
  args.insert(args.end(), more);
}

std::string machine(const MachineConfig& c) {
  std::string common = ",memory-backend=ram,dump-guest-core=off,graphics=off,usb=off";
  // pcie=on: for the hot-plug ports (the rest is virtio over MMIO); acpi=on: the guest finds it all, and can
  // power off.
  if (c.type == MachineType::kMicrovm) return "microvm,acpi=on,pcie=on,rtc=on,x-option-roms=off" + common;
  // The PIT and the PIC stay: without them the kernel has nothing to calibrate its APIC timer with, and
  // spins.
  return "q35,sata=off,smbus=off,vmport=off,hpet=off,i8042=off,smm=off" + common;
}

std::string accelerator(const MachineConfig& c) {
  if (c.accel == Accel::kKvm) return "kvm";
  return "tcg,tb-size=" + std::to_string(c.tcg_tb_size_mib) +
         (c.vcpus > 1 ? ",thread=multi" : ",thread=single");
}

std::string cpu_model(const MachineConfig& c) {
  // TCG runs `rep movsb` byte by byte; without ERMS the guest copies 8 bytes at a time.
  return c.accel == Accel::kKvm ? "host" : "max,-erms";
}

// A virtio device's model name on this machine's bus.
std::string virtio(const MachineConfig& c, const std::string& name) {
  return c.type == MachineType::kMicrovm ? name + "-device" : name + "-pci,disable-legacy=on";
}

// Shared, so that virtiofsd can map it.
std::string memory_backend(const QemuFds& fds) {
  if (fds.memory < 0) return "memory-backend-memfd";
  return "memory-backend-file,mem-path=/proc/self/fd/" + std::to_string(fds.memory);
}

std::string port_function(uint32_t port) {
  return fmt::format("{:x}.{}", kFirstPortSlot + port / kPortsPerSlot, port % kPortsPerSlot);
}

// share_stays: it is plugged while the firmware runs, and never taken out.
void add_hotplug_ports(Args& args, const MachineConfig& c, bool share_stays) {
  // The guest looks for a new device when the agent asks for it. Else each plug interrupts it with an ACPI
  // event, whose interpreter is a twentieth of all the code that a start from a template runs.
  if (c.type == MachineType::kQ35)
    add(args, {"-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"});
  for (uint32_t i = 0; i < std::min(c.hotplug_ports, kMaxPorts); ++i) {
    std::string number = std::to_string(i + 1);
    std::string port =
        "pcie-root-port,id=" + hotplug_bus(i) + ",bus=pcie.0,chassis=" + number + ",slot=" + number;
    port += ",addr=" + port_function(i);
    if (i % kPortsPerSlot == 0) port += ",multifunction=on";
    // Then the kernel finds it when it boots. A slot whose power can be turned off is off at first.
    if (i == kSharePort && share_stays) port += ",power_controller_present=off";
    // Shares and network cards need no I/O ports, and there are not enough of them for many ports.
    // The slot's power is the agent's to turn on and off: a card whose slot is off can be unplugged.
    add(args, {"-device", port + ",io-reserve=0"});
  }
}

}  // namespace

std::string hotplug_bus(uint32_t port) {
  return "rp" + std::to_string(port);
}

std::string hotplug_address(uint32_t port) {
  return fmt::format("0000:00:{:0>4}", port_function(port));
}

std::string kernel_command_line(const MachineConfig& c, unsigned long tsc_khz) {
  // A guest that panics resets at once by a triple fault (there is no keyboard controller), which ends QEMU
  // (-no-reboot).
  std::string line = "console=ttyS0 quiet reboot=t panic=-1";
  // The guest only looks for new devices when the agent asks for a rescan: no services on the root ports.
  line += " pcie_ports=compat";
  // Many processes wait for RCU (namespaces, cgroups, mounts); no dummy0 in each new network namespace.
  line += " rcupdate.rcu_expedited=1 dummy.numdummies=0";
  if (c.accel == Accel::kTcg) {
    // Emulated code does not speculate.
    line += " mitigations=off no_timer_check";
    // With one CPU each of 6,500 lock prefixes would be patched away, at two changes of the page table's root
    // each: a tenth of a boot, for instructions that cost nothing here.
    line += " noreplace-smp";
    // Calibrating against the PIT fails on a busy host, and then some boots hang for ever.
    if (tsc_khz)
      line += " tsc=reliable tsc_early_khz=" + std::to_string(tsc_khz) +
              " lpj=" + std::to_string(static_cast<unsigned long long>(tsc_khz) * 1000 / kGuestHz);
  }
  if (!c.kernel_params.empty()) line += " " + c.kernel_params;
  if (line.size() > kMaxCommandLine)
    throw Error(ErrorKind::kInvalid, "the guest kernel's command line is longer than 2047 bytes");
  if (std::any_of(line.begin(), line.end(), [](unsigned char ch) { return ch < ' ' || ch == 0x7f; }))
    throw Error(ErrorKind::kInvalid, "a control character in the guest kernel's command line");
  return line;
}

std::vector<std::string> qemu_arguments(const MachineConfig& c, const QemuFds& fds, unsigned long tsc_khz) {
  std::string memory = std::to_string(c.memory_mib) + "M";
  auto socket = [](const char* id, int fd) {
    return std::string("socket,id=") + id + ",fd=" + std::to_string(fd);
  };

  Args args = {c.vmm, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"};
  add(args, {"-machine", machine(c), "-accel", accelerator(c), "-cpu", cpu_model(c)});
  add(args, {"-smp", std::to_string(c.vcpus), "-m", memory});
  add(args, {"-object", memory_backend(fds) + ",id=ram,share=on,size=" + memory});
  // qboot enters the kernel half a second of TCG earlier than SeaBIOS.
  std::string firmware = c.firmware.empty() && c.type == MachineType::kQ35 ? "qboot.rom" : c.firmware;
  if (!firmware.empty()) add(args, {"-bios", firmware});
  if (fds.saved) {
    add(args, {"-incoming", "defer"});
  } else {
    add(args, {"-kernel", c.kernel});
    if (!c.initrd.empty()) add(args, {"-initrd", c.initrd});
    add(args, {"-append", kernel_command_line(c, tsc_khz)});
  }

  // libvhost-user refuses legacy devices; on MMIO they are the default.
  if (c.type == MachineType::kMicrovm) add(args, {"-global", "virtio-mmio.force-legacy=false"});
  add(args, {"-chardev", socket("qmp", fds.qmp), "-mon", "chardev=qmp,mode=control"});
  add(args, {"-chardev", socket("console", fds.console), "-serial", "chardev:console"});
  // The guest sets up two queues for every possible port, the first of which is a console's: few ports, short
  // boot.
  add(args, {"-device", virtio(c, "virtio-serial") + ",max_ports=2"});
  add(args,
      {"-chardev", socket("agent", fds.agent), "-device", "virtserialport,chardev=agent,name=husk.agent"});
  add(args, {"-device", virtio(c, "virtio-rng")});
  // What the guest frees goes back to the host, in blocks of 2 MiB, some seconds later.
  add(args, {"-device", virtio(c, "virtio-balloon") + ",free-page-reporting=on"});
  add_hotplug_ports(args, c, fds.memory < 0);
  if (c.seccomp)
    add(args, {"-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"});
  return args;
}

}  // namespace husk::vm
