// An initrd of busybox whose /init runs, as a shell, each line that comes through the port husk.agent.
#pragma once

#include <stdlib.h>
#include <unistd.h>

#include <string>

#include "libcontainer/base/error.h"
#include "libcontainer/base/fd.h"
#include "libcontainer/base/file.h"

namespace husk::vm {

inline constexpr const char* kBusybox = "/usr/bin/busybox";

inline std::string test_kernel() {
  const char* kernel = getenv("HUSK_TEST_KERNEL");
  std::string path = kernel ? kernel : "build/guest/vmlinux";
  return path_exists(path) ? path : "";
}

// One entry of a cpio archive in the "newc" format (the kernel's
// Documentation/driver-api/early-userspace/buffer-format.rst).
inline std::string cpio_entry(const std::string& name, unsigned mode, const std::string& data) {
  auto hex = [](size_t n) {
    char text[9];
    snprintf(text, sizeof text, "%08zx", n & 0xffffffff);
    return std::string(text);
  };
  std::string out = "070701" + hex(0) + hex(mode) + hex(0) + hex(0) + hex(1) + hex(0) + hex(data.size());
  out += hex(0) + hex(0) + hex(0) + hex(0) + hex(name.size() + 1) + hex(0) + name + '\0';
  out.resize((out.size() + 3) & ~size_t{3});
  out += data;
  out.resize((out.size() + 3) & ~size_t{3});
  return out;
}

inline std::string tiny_initrd() {
  std::string init =
      "#!/bin/busybox sh\n"
      "/bin/busybox --install -s /bin; export PATH=/bin\n"
      "mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev\n"
      // The slots' power, as the agent turns it on.
      // As the agent does (agent/guest/pci.h); in QEMU's ports the slot's control register is at 0x6c.
      "slot() { printf \"\\300\\\\$2\" | dd of=$1/config bs=2 seek=54 conv=notrunc 2>/dev/null; }\n"
      "for p in /sys/bus/pci/devices/*; do [ $(cat $p/class) != 0x060400 ] || slot $p 001; done\n"
      "echo booted\n"
      "exec 3<>/dev/$(basename $(dirname $(grep -l husk.agent /sys/class/virtio-ports/*/name)))\n"
      "while read -r line <&3; do eval \"$line\" >&3 2>&3; echo \"=$?\" >&3; done\n"
      "poweroff -f\n";
  std::string cpio;
  for (const char* folder : {"bin", "proc", "sys", "dev", "mnt"}) cpio += cpio_entry(folder, 040755, "");
  cpio += cpio_entry("bin/busybox", 0100755, read_file(kBusybox));
  cpio += cpio_entry("init", 0100755, init);
  return cpio + cpio_entry("TRAILER!!!", 0, "");
}

// Runs a line in the guest; returns what it printed, and "=EXITCODE" at the end. Throws after 30 s of silence
// or at EOF.
inline std::string guest_run(int agent, const std::string& line) {
  write_all(agent, line + "\n", "agent");
  std::string out;
  for (;;) {
    char c;
    if (!wait_readable(agent, 30000)) throw Error(ErrorKind::kTimeout, "the guest is silent: " + out);
    if (read(agent, &c, 1) != 1) throw Error(ErrorKind::kGuestDied, "the guest ended: " + out);
    if (c == '\n' && out.rfind('=') != std::string::npos) {
      size_t start = out.rfind('\n') == std::string::npos ? 0 : out.rfind('\n') + 1;
      if (out[start] == '=') return out;
    }
    out += c;
  }
}

}  // namespace husk::vm
