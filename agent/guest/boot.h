// What pid 1 does before it serves.
#pragma once

#include <cstdint>
#include <string>

#include "libcontainer/base/fd.h"

namespace husk::guest {

// Mounts, modules, loopback, limits: from the kernel's initramfs to a system in which containers can be made.
void boot();
// Stops what would wake an idle kernel for nothing, and is not worth a start's time: memory is compacted when
// somebody asks for a huge page.
void quieten() noexcept;
// When it began, and now: since the kernel's start (CLOCK_BOOTTIME).
int64_t boot_began_ns();
int64_t uptime_ns();
// Waits for the virtio port of that name and opens it.
UniqueFd open_port(const std::string& name);
// Whether the VM is to be saved (libcontainer/base/guest_words.h).
bool is_template();
// Tells the host that it can be.
void announce_template();
// Waits until the host has said something on it: until then a template may be saved and resumed with another
// host's end, and nothing of ours is on the way to the old one.
void wait_for_host(int port) noexcept;
// Says why on the console (when there is a reason), syncs and powers the VM off.
[[noreturn]] void power_off(const char* reason) noexcept;

}  // namespace husk::guest
