#include "vm/qemu/command_line.h"

#include <gtest/gtest.h>

#include <functional>

#include "libcontainer/base/error.h"

namespace husk::vm {
namespace {

MachineConfig config() {
  MachineConfig c;
  c.vmm = "/bin/qemu";
  c.kernel = "/k";
  c.initrd = "/i";
  c.hotplug_ports = 2;
  return c;
}

std::string joined(const MachineConfig& c, unsigned long khz = 2000000) {
  std::string line;
  for (const std::string& arg : qemu_arguments(c, QemuFds{}, khz)) line += arg + " ";
  return line;
}

TEST(CommandLine, Pieces) {
  struct Row {
    const char* name;
    std::function<void(MachineConfig&)> change;
    std::vector<const char*> has, has_not;
  };
  const Row rows[] = {
      {"what always holds",
       [](MachineConfig&) {},
       {"/bin/qemu -nodefaults -no-user-config -display none -no-reboot ", "-machine q35,sata=off",
        "-kernel /k ", "-initrd /i ", "-object memory-backend-memfd,id=ram,share=on,size=512M", "-m 512M",
        "memory-backend=ram", "-chardev socket,id=qmp,fd=3 -mon chardev=qmp,mode=control",
        "-chardev socket,id=agent,fd=4", "virtserialport,chardev=agent,name=husk.agent",
        "-chardev socket,id=console,fd=5 -serial chardev:console", "virtio-rng-pci",
        "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
        "-bios qboot.rom"},
       {"path=", "server"}},
      {"tcg, one vCPU",
       [](MachineConfig& c) { c.tcg_tb_size_mib = 7; },
       {"-accel tcg,tb-size=7,thread=single", "-cpu max,-erms ", "-smp 1",
        "tsc_early_khz=2000000 lpj=8000000"},
       {"kvm"}},
      {"tcg, more", [](MachineConfig& c) { c.vcpus = 3; }, {"thread=multi", "-smp 3"}, {}},
      {"kvm",
       [](MachineConfig& c) { c.accel = Accel::kKvm; },
       {"-accel kvm", "-cpu host"},
       {"tcg", "tsc_early", "mitigations"}},
      {"hot-plug ports",
       [](MachineConfig& c) { c.hotplug_ports = 9; },
       {"id=rp0,bus=pcie.0,chassis=1,slot=1,addr=4.0,multifunction=on,power_controller_present=off",
        "id=rp7,bus=pcie.0,chassis=8,slot=8,addr=4.7",
        "id=rp8,bus=pcie.0,chassis=9,slot=9,addr=5.0,multifunction=on"},
       {"rp9"}},
      {"microvm",
       [](MachineConfig& c) { c.type = MachineType::kMicrovm; },
       {"-machine microvm,", "pcie=on", "virtio-mmio.force-legacy=false", "virtio-serial-device",
        "virtio-rng-device"},
       {"pci,", "qboot"}},
      {"firmware", [](MachineConfig& c) { c.firmware = "/f"; }, {"-bios /f "}, {"qboot"}},
      {"no seccomp", [](MachineConfig& c) { c.seccomp = false; }, {}, {"-sandbox"}},
      {"no initrd", [](MachineConfig& c) { c.initrd = ""; }, {}, {"-initrd"}},
      {"the user's parameters come last",
       [](MachineConfig& c) { c.kernel_params = "a=1 b"; },
       {" a=1 b -"},
       {}},
  };
  for (const Row& row : rows) {
    MachineConfig c = config();
    row.change(c);
    std::string line = joined(c);
    for (const char* piece : row.has)
      EXPECT_NE(line.find(piece), std::string::npos) << row.name << ": " << piece;
    for (const char* piece : row.has_not)
      EXPECT_EQ(line.find(piece), std::string::npos) << row.name << ": " << piece;
  }
}

TEST(CommandLine, WithoutTscFrequencyNothingIsClaimed) {
  EXPECT_EQ(kernel_command_line(config(), 0).find("tsc"), std::string::npos);
}

TEST(CommandLine, BadKernelParameters) {
  MachineConfig c = config();
  c.kernel_params = "a\nb";
  EXPECT_THROW(kernel_command_line(c, 1), Error);
  c.kernel_params.assign(2048, 'x');
  EXPECT_THROW(kernel_command_line(c, 1), Error);
}

TEST(Tsc, IsPlausibleAndStable) {
  const TscMeter meter;
  unsigned long khz = meter.khz();
  EXPECT_GT(khz, 100000u);
  EXPECT_LT(khz, 20000000u);
  EXPECT_NEAR(static_cast<double>(khz), static_cast<double>(TscMeter().khz()),
              1.0 + static_cast<double>(khz) / 1000);
}

}  // namespace
}  // namespace husk::vm
